"""AST's flow."""

import torch

from maescan.train.rivals.distillation import Flow


def test_a_new_flow_moves_nothing_and_a_taught_one_counts_its_volume():
    torch.manual_seed(0)
    flow, x = Flow(4, 8), torch.randn(2, 4, 3, 3)
    moved, volume = flow(x)
    assert torch.allclose(moved.sort(dim=1).values, x.sort(dim=1).values) and not volume.any()
    for part in flow.parts:
        torch.nn.init.normal_(part[-1].weight, std=0.1)
    one = x[:1, :, :1, :1]
    jacobian = torch.autograd.functional.jacobian(lambda given: flow(given)[0].flatten(), one).reshape(4, 4)
    assert torch.allclose(torch.linalg.slogdet(jacobian)[1], flow(one)[1].sum(), atol=1e-4)
