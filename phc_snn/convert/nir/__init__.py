"""NIR, the Neuromorphic Intermediate Representation: networks out, networks in, files checked."""

from phc_snn.convert.nir.chain import Chain
from phc_snn.convert.nir.export import to_nir, write_nir
from phc_snn.convert.nir.files import read_nir
from phc_snn.convert.nir.load import from_nir

__all__ = ["Chain", "from_nir", "read_nir", "to_nir", "write_nir"]
