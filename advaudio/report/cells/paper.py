"""The paper's numbers that survive (protocol, section 7), and its names for things."""

from __future__ import annotations

from dataclasses import dataclass

DATASET_NAMES = {"esc50": "ESC-50", "urbansound8k": "UrbanSound8K", "esc10": "ESC-10", "demo": "demo"}
REPRESENTATION_NAMES = {
    "stft": "STFT",
    "dwt": "DWT",
    "stft_tonnetz": "STFT + tonnetz",
    "dwt_tonnetz": "DWT + tonnetz",
}
MODEL_NAMES = {
    "alexnet": "AlexNet",
    "googlenet": "GoogLeNet",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet56": "ResNet-56",
    "vgg16": "VGG-16",
}
ATTACK_NAMES = {
    "bim_a": "BIM-a",
    "bim_b": "BIM-b",
    "jsma": "JSMA",
    "deepfool": "DeepFool",
    "cwa": "CWA",
    "pia": "PIA",
}


@dataclass(frozen=True)
class BoldCell:
    """The one surviving cell of a row of Tables I, II and III; the rest of each row is lost.

    `accuracy` (Table I, per cent) is that of `accuracy_model`. Which model reached `fooling_rate`
    (Table II, per cent) and `rho` (Table III) is lost.
    """

    accuracy: float
    accuracy_model: str
    fooling_rate: float
    rho: float


BOLD_CELLS: dict[tuple[str, str], BoldCell] = {
    ("esc50", "stft"): BoldCell(69.77, "resnet56", 50.97, 2.312),
    ("esc50", "dwt"): BoldCell(71.56, "resnet56", 51.03, 2.307),
    ("esc50", "stft_tonnetz"): BoldCell(70.22, "resnet56", 50.46, 2.161),
    ("esc50", "dwt_tonnetz"): BoldCell(71.79, "resnet56", 49.33, 2.609),
    ("urbansound8k", "stft"): BoldCell(88.77, "resnet56", 53.24, 2.439),
    ("urbansound8k", "dwt"): BoldCell(90.14, "resnet56", 51.92, 2.892),
    ("urbansound8k", "stft_tonnetz"): BoldCell(89.42, "vgg16", 50.71, 2.308),
    ("urbansound8k", "dwt_tonnetz"): BoldCell(91.36, "resnet56", 52.23, 2.501),
}
