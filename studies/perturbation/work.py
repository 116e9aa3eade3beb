"""What is known of the network that the study trains itself."""

from __future__ import annotations

import json
from typing import Any

from studies.trained import resnet8_file


def parts() -> list[str]:
    return ["resnet8"]


def run(part: str) -> dict[str, Any]:
    """``accuracy`` on the 10,000 test images, ``train`` how many images it was trained on."""
    told = json.loads(resnet8_file().with_suffix(".json").read_text("utf-8"))
    return {"accuracy": told["accuracy"], "train": told["train"]}
