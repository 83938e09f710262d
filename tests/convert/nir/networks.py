"""Networks to send out, and what other libraries make of the file."""

import contextlib
import io
import logging
import warnings

import torch

import phc_snn as phc
from phc_snn.convert.nir import write_nir

N, T, B = 32, 100, 4  # 12,800 neuron-steps


def inputs(seed=0, features=N, scale=0.4):
    generator = torch.Generator().manual_seed(seed + 1000)
    return scale * torch.randn(T, B, features, generator=generator) + scale / 8


def weights(seed=0, scale=0.4, features=N):
    return scale * torch.randn(features, features, generator=torch.Generator().manual_seed(seed))


def spread(lowest, highest, seed=0):
    """N values, one for each neuron."""
    generator = torch.Generator().manual_seed(seed + 2000)
    return lowest + (highest - lowest) * torch.rand(N, generator=generator)


def recurrent(neuron, seed=0, *, steps=1, bias=None, scale=0.4, drive=1.0):
    connectome = phc.DenseConnectome(weights(seed, scale), bias)
    delay = phc.Delay(N, steps)
    return phc.PHC(neuron, delay, connectome, drive=drive, solver=phc.Sequential())


def spikes_of(model, x_seq):
    with torch.no_grad():
        if isinstance(model, phc.PHC):
            return model(x_seq).spikes
        return model.scan(x_seq)[0] if isinstance(model, phc.Neuron) else model(x_seq)[0]


def stepped(module, x_seq):
    """A module that takes and returns a state, over a sequence."""
    state, outputs = None, []
    with torch.no_grad():
        for x_t in x_seq.unbind(0):
            output, state = module(x_t, state)
            outputs.append(output)
    return torch.stack(outputs)


@contextlib.contextmanager
def quiet():
    """Norse and snnTorch call deprecated functions, print, and log what they take for granted."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def run_by_norse(model, x_seq, path, dt=1e-4):
    """What Norse makes of the file of a model."""
    import nir

    with quiet():
        import norse.torch

        write_nir(path, model, dt=dt)
        return stepped(norse.torch.from_nir(nir.read(path), dt=dt), x_seq)


def run_by_snntorch(model, x_seq, path):
    """What snnTorch makes of it; its time step is 1e-4 s, whatever the file was written for."""
    import nir
    from snntorch.import_nir import import_from_nir

    with quiet():
        write_nir(path, model, dt=1e-4)
        return stepped(import_from_nir(nir.read(path)), x_seq)
