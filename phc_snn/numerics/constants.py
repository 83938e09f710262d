"""The numbers in the formulas of `phc_snn.numerics.elementary`.

The coefficients are our own minimax fits: relative error of the rational functions below 3e-8
(float32) and 8e-17 (float64), less than rounding adds.
"""

from typing import NamedTuple

import torch


class Constants(NamedTuple):
    """Of one precision; polynomials from the lowest power up."""

    largest: float  # beyond it the logistic function is 0 or 1
    numerator: tuple[float, ...]  # sigmoid(x) - 1/2 = x numerator(x^2) / denominator(x^2)
    denominator: tuple[float, ...]
    deepest: float  # exp(-deepest) is still a normal number
    shift: float  # adding and subtracting it rounds to whole numbers
    ln2_high: float  # log 2 in two parts, the first with trailing zeros: its multiples are exact
    ln2_low: float
    exponential: tuple[float, ...]  # exp(r) for |r| <= log(2) / 2
    log_numerator: tuple[float, ...]  # log1p(y) = y log_numerator(y) / log_denominator(y) to y = 1
    log_denominator: tuple[float, ...]
    certain: float  # beyond it the error function is -1 or 1
    erf_numerator: tuple[float, ...]  # erf(x) = x erf_numerator(x^2) / erf_denominator(x^2)
    erf_denominator: tuple[float, ...]


CONSTANTS = {
    torch.float32: Constants(
        largest=18.0,
        numerator=(0.25, 0.008362331, 5.4594515e-05, 8.040508e-08, 1.3007172e-11),
        denominator=(1.0, 0.11678261, 0.0016169455, 5.129868e-06, 3.0320848e-09),
        deepest=87.0,
        shift=1.5 * 2.0**23,
        ln2_high=0.693145751953125,
        ln2_low=1.4286068203094173e-06,
        exponential=(1.0, 1.0, 0.4999999, 0.16666411, 0.04166829, 0.008375645, 0.0013835782),
        log_numerator=(1.0, 1.0662141, 0.23815504, 0.0034172074),
        log_denominator=(1.0, 1.566214, 0.6879316, 0.07528632),
        certain=4.0,
        erf_numerator=(
            1.1283791,
            0.19354294,
            0.053101465,
            0.0038832526,
            0.0002845637,
            1.986797e-06,
        ),
        erf_denominator=(1.0, 0.5048555, 0.11534912, 0.015207069, 0.0011855486, 3.742021e-05),
    ),
    torch.float64: Constants(
        largest=38.0,
        numerator=(
            0.24999999999999997,
            0.009487688600989702,
            9.334941391336948e-05,
            3.655846885365657e-07,
            6.668428684948254e-10,
            5.954939658186057e-13,
            2.543237025019902e-16,
            4.667186248177145e-20,
            2.821107499592709e-24,
            2.3770785495349545e-29,
        ),
        denominator=(
            1.0,
            0.12128408773729192,
            0.002147071633761255,
            1.293821201076001e-05,
            3.418676720822677e-08,
            4.35683285633242e-11,
            2.7107216570564047e-14,
            7.744027817988174e-18,
            8.57578110575151e-22,
            2.366902813225253e-26,
        ),
        deepest=708.0,
        shift=1.5 * 2.0**52,
        ln2_high=0.693147180559663,
        ln2_low=2.8235290563031577e-13,
        exponential=(
            1.0,
            1.0,
            0.5,
            0.16666666666666705,
            0.04166666666666586,
            0.00833333333330817,
            0.0013888888889162917,
            0.0001984126991224888,
            2.4801586891646266e-05,
            2.7557222068072563e-06,
            2.755758460501663e-07,
            2.5115853219111916e-08,
            2.0831077569722545e-09,
        ),
        log_numerator=(
            1.0,
            2.9116763538827484,
            3.2348069296939346,
            1.71512058448645,
            0.4428816287886888,
            0.050318992829529556,
            0.001845609314960652,
            4.445871807828115e-06,
        ),
        log_denominator=(
            1.0,
            3.4116763538827484,
            4.607311773301976,
            3.1315510198431578,
            1.1258056360809638,
            0.20553081012908342,
            0.01652345218737541,
            0.0004000657671123412,
        ),
        certain=5.93,
        erf_numerator=(
            1.1283791670955126,
            0.22297906576337345,
            0.06697492282935665,
            0.007112293441977082,
            0.0008903623867251997,
            6.0835341664944386e-05,
            4.259671615169277e-06,
            1.9271561324561085e-07,
            8.079208538711071e-09,
            2.219281609633319e-10,
            4.951699779332211e-12,
            4.5038731362573067e-14,
            7.58303593389155e-17,
        ),
        erf_denominator=(
            1.0,
            0.5309433852251366,
            0.13633610834986762,
            0.022463660687012617,
            0.002655218723466401,
            0.0002382231047300796,
            1.6716472183976656e-05,
            9.294244744717151e-07,
            4.086510478150509e-08,
            1.3920638851545412e-09,
            3.478658808135181e-11,
            5.579022030734461e-13,
            2.4062419042431253e-15,
            1.0646858621657771e-18,
        ),
    ),
}
