"""The temporal primitive: the first-order affine recurrence ``h[t] = a[t] h[t-1] + b[t]``.

`affine_scan` is the one public function. Its backends are one file each; `reference.py` is the
readable loop that every other one is compared with.
"""

from phc_snn.scan.affine import BACKENDS, affine_scan, check_backend, keeps_order

__all__ = ["BACKENDS", "affine_scan", "check_backend", "keeps_order"]
