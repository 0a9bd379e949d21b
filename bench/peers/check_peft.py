"""Loads adapters of Hadal's into PEFT and compares, and makes adapters with PEFT for Hadal to load.

bench/peft.ts runs this with Hadal's side of the comparison in a directory:

    PYTHON=/path/to/python node bench/peft.ts

Needs torch, safetensors, transformers 5 and peft. Exits non-zero when logits differ by more than 1e-3 or a key of an adapter
is missing or unexpected.
"""

import json
import sys
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

TOLERANCE = 1e-3
# Attention as modules, experts as the parameters that transformers 5 has, and one scale that a pattern changes.
DENSE = dict(r=5, lora_alpha=7, target_modules="all-linear", alpha_pattern={"layers.1.self_attn.o_proj": 3})
MIXTURE = dict(
    r=4,
    lora_alpha=6,
    target_modules=["q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"],
    target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "shared_experts.up_proj.weight"],
    rank_pattern={r".*\.gate_up_proj": 3},
)


def base(directory: str):
    # The prediction module's keys are unexpected here and listed at length.
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()


@torch.no_grad()
def check(case: dict, exchange: Path, ids: torch.Tensor) -> list[str]:
    """Hadal's adapter on Hugging Face's base."""
    model = base(case["base"])
    plain = model(ids).logits[0]
    adapted = peft.PeftModel.from_pretrained(model, case["adapter"]).eval()
    keys = set(load_file(Path(case["adapter"]) / "adapter_model.safetensors"))
    here = set(peft.get_peft_model_state_dict(adapted))
    expected = load_file(exchange / f"{case['name']}.safetensors")["logits"]
    found = adapted(ids).logits[0]
    difference = (found - expected).abs().max().item()
    moved = (found - plain).abs().max().item()
    print(f"{case['name']:32} {len(keys):4} tensors, moves a logit by {moved:6.3f}, difference {difference:.1e}")
    problems = []
    if keys != here:
        problems.append(f"{case['name']}: keys differ: {sorted(keys ^ here)[:4]}")
    if not difference <= TOLERANCE:
        problems.append(f"{case['name']}: logits differ by {difference:.1e}")
    return problems


@torch.no_grad()
def make(name: str, directory: str, exchange: Path, ids: torch.Tensor) -> None:
    """An adapter of PEFT's with random values, and its logits."""
    torch.manual_seed(0)
    mixture = "deepseek" in name
    config = peft.LoraConfig(task_type="CAUSAL_LM", init_lora_weights=False, **(MIXTURE if mixture else DENSE))
    adapted = peft.get_peft_model(base(directory), config).eval()
    for parameter_name, parameter in adapted.named_parameters():
        if "lora_" in parameter_name:
            parameter.normal_(std=0.2)
    adapted.save_pretrained(exchange / f"peft-{name}")
    save_file({"logits": adapted(ids).logits[0].contiguous()}, exchange / f"peft-{name}.safetensors")


def main(exchange: Path) -> int:
    print(f"peft {peft.__version__}, transformers {transformers.__version__}, PyTorch {torch.__version__}")
    work = json.loads((exchange / "work.json").read_text())
    ids = torch.tensor([work["ids"]])
    problems = [problem for case in work["cases"] for problem in check(case, exchange, ids)]
    for name, directory in work["bases"].items():
        make(name, directory, exchange, ids)
    for problem in problems:
        print("FAILED", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
