"""Published test accuracies on the archive's sets, to stand beside ours.

Mean and standard deviation in %, over five seeds: Chiang 2026 (PHC), Table 4, with the baselines
there from Rusch and Rus 2025 (LinOSS), Farsang et al. 2025 (LrcSSM) and Terzic et al. 2025
(PD-SSM). Parameters: Chiang 2026, Table 5.
"""

from typing import NamedTuple


class Published(NamedTuple):
    """A model's accuracies and parameters, by set."""

    accuracy: dict[str, tuple[float, float]]
    parameters: dict[str, int]


def _on(
    scp1: tuple[float, float],
    motor: tuple[float, float],
    parameters: tuple[int, int] | None = None,
) -> Published:
    sets = ("SelfRegulationSCP1", "MotorImagery")
    counts = {} if parameters is None else dict(zip(sets, parameters, strict=True))
    return Published(dict(zip(sets, (scp1, motor), strict=True)), counts)


MODELS: dict[str, Published] = {
    "NRDE": _on((76.7, 5.6), (54.0, 7.8)),
    "NCDE": _on((80.0, 2.0), (51.6, 6.2)),
    "Log-NCDE": _on((82.1, 1.4), (57.2, 5.6)),
    "LRU": _on((84.5, 4.6), (51.9, 8.6), (25_892, 107_544)),
    "S5": _on((87.1, 2.1), (53.0, 3.9), (226_328, 17_496)),
    "S6": _on((82.8, 2.7), (51.3, 4.7)),
    "Mamba": _on((80.7, 1.4), (47.7, 4.5), (184_194, 228_226)),
    "LinOSS-IMEX": _on((87.5, 4.0), (57.9, 5.3)),
    "LinOSS-IM": _on((87.8, 2.6), (60.0, 7.5), (991_240, 91_844)),
    "Transformer": _on((84.3, 6.3), (50.5, 3.0)),
    "RFormer": _on((81.2, 2.8), (55.8, 6.6)),
    "LrcSSM": _on((85.2, 2.1), (58.6, 3.1)),
    "PD-SSM": _on((80.9, 2.0), (60.0, 3.7)),
    "PHCSSM, feedforward": _on((80.0, 3.7), (53.3, 7.0), (9_421, 1_748)),
    "PHCSSM, bidirectional": _on((79.3, 4.0), (53.7, 5.2), (9_421, 1_748)),
}

CORES: dict[str, str] = {
    "SiLIF": "SSC 82.0, GSC 95.3 (512 wide)",
    "CSiLIF": "SHD 95.1 (128 wide; the epoch chosen on the test set)",
    "PSpikeSSM": "psMNIST 98.4, SC10 95.6 (two-sided)",
    "LRU": "SCP1 84.5, MotorImagery 51.9",
    "S5": "SCP1 87.1, MotorImagery 53.0",
    "LinOSS": "SCP1 87.8, MotorImagery 60.0",
    "LinOSSIMEX": "SCP1 87.5, MotorImagery 57.9",
    "LrcSSM": "SCP1 85.2, MotorImagery 58.6",
    "ALIF": "PHCSSM: SCP1 80.0, MotorImagery 53.7",
}
"""Of a neuron model by itself or in its authors' stack, test accuracies in %; SiLIF and C-SiLIF,
P-SpikeSSM (Bal and Sengupta 2024), and the sets of `MODELS`."""
