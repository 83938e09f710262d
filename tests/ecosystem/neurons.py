"""The neurons that stand in snnTorch's place."""

import phc_snn as phc

NEURONS = {
    "ALIF": phc.ALIF,
    "LIF": phc.LIF,
    "LIF-subtract": lambda n, **k: phc.LIF(n, reset_mechanism="subtract", **k),
    "LIF-zero": lambda n, **k: phc.LIF(n, reset_mechanism="zero", **k),
    "CubaLIF": phc.CubaLIF,
}
