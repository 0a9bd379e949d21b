"""LoRA steps in PyTorch with PEFT, for bench/lora.ts to compare with.

Random weights of the shape that the `work.json` of a directory describes, a pair of rank r beside every linear layer but the
head, AdamW, one batch of random tokens again and again. Prints a line of JSON: seconds of each step, of processor and of wall,
and the largest resident memory of this process, after loading and in all.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import peft
import torch
import transformers
from transformers.initialization import no_init_weights

parser = argparse.ArgumentParser()
parser.add_argument("directory", type=Path)
parser.add_argument("--dtype", choices=["f32", "bf16"], required=True)
parser.add_argument("--recompute", action="store_true")
options = parser.parse_args()

work = json.loads((options.directory / "work.json").read_text())
torch.set_num_threads(work["threads"])
torch.manual_seed(0)
transformers.utils.logging.set_verbosity_error()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fill(tensor: torch.Tensor, noise: torch.Tensor) -> None:
    """Normal numbers, the same ones again and again: billions of fresh ones would take longer than the measurement."""
    for piece in tensor.view(-1).split(len(noise)):
        piece.copy_(noise[: len(piece)])


dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[options.dtype]
config = transformers.AutoConfig.for_model(**work["config"])
with no_init_weights():
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
noise = torch.randn(65_521) * 0.02
with torch.no_grad():
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.fill_(1)
        else:
            fill(parameter, noise * 50 if "embed" in name else noise)
adapter = peft.LoraConfig(
    task_type="CAUSAL_LM", r=work["rank"], lora_alpha=work["alpha"], target_modules="all-linear", lora_dropout=0.0
)
model = peft.get_peft_model(model, adapter)
model.train()
if options.recompute:
    model.enable_input_require_grads()
    model.gradient_checkpointing_enable({"use_reentrant": False})
trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0, fused=True)
ids = torch.tensor(work["documents"])
loaded_bytes = peak_bytes()

wall, cpu, losses = [], [], []
for _ in range(work["steps"]):
    begin = (time.perf_counter(), time.process_time())
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    optimizer.step()
    optimizer.zero_grad()
    wall.append(time.perf_counter() - begin[0])
    cpu.append(time.process_time() - begin[1])
    losses.append(loss.item())

versions = f"PEFT {peft.__version__}, transformers {transformers.__version__}, PyTorch {torch.__version__}"
answer = {"wall": wall, "cpu": cpu, "losses": losses, "trained": sum(p.numel() for p in trained), "versions": versions}
print(json.dumps({**answer, "loadedBytes": loaded_bytes, "peakBytes": peak_bytes()}))
sys.exit(0)
