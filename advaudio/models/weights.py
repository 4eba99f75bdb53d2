"""What of a network goes into a file: its tensors by name, shared ones under each of their names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from advaudio.core.errors import AdvaudioError


def tensors_to_save(network: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers by name, on the CPU, no two in the same memory.

    A module or weight that is used twice has two names. safetensors refuses tensors that share memory; each name gets
    a copy of its own, and on loading both are copied into the one tensor.

    Raises
    ------
    AdvaudioError
        If the network's state holds anything but tensors.
    """
    tensors: dict[str, Tensor] = {}
    memory: set[int] = set()
    for key, value in network.state_dict().items():
        if not isinstance(value, Tensor):
            raise AdvaudioError(
                f"The network keeps {key} in its state, a {type(value).__name__}, which a model file cannot hold. Keep it "
                "as a tensor (`register_buffer`), or outside of the state (remove `get_extra_state`)."
            )
        tensor = value.detach().cpu().contiguous()
        start = tensor.untyped_storage().data_ptr()
        if start in memory:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        memory.add(tensor.untyped_storage().data_ptr())
        tensors[key] = tensor
    return tensors
