"""Whether a model's weights are still the same."""

import torch


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(t, before[name]) for name, t in model.state_dict().items())
