"""What every `Process` and every solver promises, as plain functions.

`PROCESS_CONTRACTS` take a process; each raises AssertionError where the process breaks its promise.
The suite runs them over all models of the library, and over broken ones that they must catch.
"""

from tests.contracts import gradients, lanes, persistence, sequence

PROCESS_CONTRACTS = {
    name: function
    for module in (sequence, lanes, gradients, persistence)
    for name, function in vars(module).items()
    if name.startswith("contract_")
}
