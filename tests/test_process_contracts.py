"""Every model keeps every contract, and every contract catches a model that breaks it."""

import pytest
import torch

import phc_snn as phc
from phc_snn.state import tensors
from tests.broken import processes as broken
from tests.contracts import PROCESS_CONTRACTS
from tests.processes import MODELS, signal, vary

CAUGHT = {
    "contract_step_equals_scan": [broken.StepsAnotherWay, broken.IgnoresState],
    "contract_chunks_equal_whole": [broken.ReturnsEarlierState, broken.IgnoresState],
    "contract_trajectory_holds_the_state_after_every_step": [broken.ReturnsEarlierState],
    "contract_future_cannot_change_past": [broken.LooksAhead],
    "contract_past_changes_future": [broken.IgnoresTime],
    "contract_given_state_matters": [broken.IgnoresState],
    "contract_forgets": [broken.NeverDecays],
    "contract_any_length": [broken.FailsOnLongInput],
    "contract_empty_sequence_keeps_state": [broken.ForgetsOnEmptyInput],
    "contract_memory_layout_is_irrelevant": [broken.DependsOnMemoryLayout],
    "contract_input_drives_output": [broken.NeverSpikes, broken.FiresWithoutInput],
    "contract_associative_backend_agrees": [broken.HasAnInexactBackend],
    "contract_given_state_is_not_changed": [broken.ChangesStateInPlace],
    "contract_calls_leave_no_trace": [broken.RemembersInItself],
    "contract_batch_equals_single_samples": [broken.CentresTheBatch],
    "contract_empty_batch": [broken.AddsASample],
    "contract_neurons_do_not_mix": [broken.MixesNeurons],
    "contract_permuted_neurons_give_permuted_results": [broken.FavoursANeuron],
    "contract_keeps_dtype": [broken.DropsDtype],
    "contract_precision_is_that_of_the_dtype": [broken.RoundsToFloat32],
    "contract_gradients_match_finite_differences": [
        broken.HasAWrongDerivative,
        broken.CutsTheGraph,
    ],
    "contract_step_gradients_equal_scan_gradients": [broken.TruncatesStepGradients],
    "contract_gradients_flow": [broken.CutsTheGraph, broken.HasADeadParameter],
    "contract_no_gradient_reaches_the_past": [
        broken.LooksAhead,
        broken.LeaksTheFutureIntoGradients,
    ],
    "contract_state_survives_a_round_trip": [broken.KeepsTheStateItself],
    "contract_state_dict_restores_behaviour": [broken.IsNotSaved, broken.HasADeadParameter],
    "contract_parts_of_a_resting_state_are_separate": [broken.SharesMemoryAtRest],
    "contract_pickles": [broken.DoesNotPickle],
    "contract_deepcopy_is_independent": [broken.SharesItsCopies, broken.CopiesIncompletely],
    "contract_refuses_bad_input": [broken.TakesAnything],
}


def test_every_contract_has_a_broken_model():
    assert set(CAUGHT) == set(PROCESS_CONTRACTS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("contract", PROCESS_CONTRACTS)
def test_contract(contract, model):
    PROCESS_CONTRACTS[contract](vary(MODELS[model]()))


@pytest.mark.parametrize("contract", PROCESS_CONTRACTS)
def test_contract_lets_a_healthy_model_pass(contract):
    PROCESS_CONTRACTS[contract](broken.Healthy())


@pytest.mark.parametrize(
    ("contract", "model"), [(name, model) for name, models in CAUGHT.items() for model in models]
)
def test_contract_catches(contract, model):
    process = model(5) if issubclass(model, phc.Neuron) else model()
    with pytest.raises(AssertionError):
        PROCESS_CONTRACTS[contract](process)


def test_a_spike_function_without_gradient_keeps_the_dtype():
    neuron = phc.LIF(5, surrogate_disable=True)
    PROCESS_CONTRACTS["contract_keeps_dtype"](neuron)


@torch.no_grad()
@pytest.mark.parametrize("model", MODELS)
def test_a_carried_state_does_not_hold_the_sequence(model):
    """It is what stays in memory between chunks, and what is saved in mid-sequence."""
    process = MODELS[model]()
    *_, state = process.scan(signal(process, 500))
    held = sum(
        {
            t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors(state)
        }.values()
    )
    needed = sum(t.nbytes for t in tensors(state))
    assert held <= 3 * needed
