"""Loads a checkpoint of Hadal's into Hugging Face transformers, as it lies there, and compares.

bench/transformers.ts runs this with Hadal's side of the comparison in a directory:

    PYTHON=/path/to/python node bench/transformers.ts [models/hadal-nano]

Needs torch, safetensors and transformers 5. Exits non-zero when token ids differ, logits differ by more than 1e-3, a
greedy continuation differs, or a key is missing, of another shape, or unexpected without being the prediction module's:
transformers has no multi-token prediction and leaves those keys out.
"""

import json
import logging
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file

TOLERANCE = 1e-3


class Notes(logging.Handler):
    """Keeps every warning that transformers logs."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def load(directory: Path):
    """The model in float32, the tokenizer, and what transformers had to say about their files."""
    notes = Notes()
    transformers.utils.logging.disable_default_handler()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("transformers").addHandler(notes)
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, output_loading_info=True
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    return model.eval(), tokenizer, info, notes.texts


def check_keys(model, info: dict, notes: list[str]) -> list[str]:
    predictor = f"model.layers.{model.config.num_hidden_layers}."
    unexpected = set(info["unexpected_keys"])
    ignored = {key for key in unexpected if key.startswith(predictor)}
    print(f"missing keys: {len(info['missing_keys'])}, mismatched: {len(info['mismatched_keys'])}, unexpected: ", end="")
    print(f"{len(unexpected)}, of which {len(ignored)} are the prediction module's ({predictor}*)")
    for note in notes:
        # The report on loading lists the keys once more, a line each.
        if "LOAD REPORT" not in note:
            print("    warned:", note)
    problems = [f"{what}: {info[what]}" for what in ("missing_keys", "mismatched_keys") if info[what]]
    if unexpected != ignored:
        problems.append(f"unexpected keys: {sorted(unexpected - ignored)}")
    return problems


@torch.no_grad()
def main(directory: Path, exchange: Path) -> int:
    print(f"transformers {transformers.__version__}, PyTorch {torch.__version__}: {directory}")
    model, tokenizer, info, notes = load(directory)
    print(f"{type(model).__name__}, {sum(p.numel() for p in model.parameters()):,} parameters; {type(tokenizer).__name__}")
    problems = check_keys(model, info, notes)
    theirs = json.loads((exchange / "prompts.json").read_text())
    logits = load_file(exchange / "logits.safetensors")
    largest = 0.0
    for index, case in enumerate(theirs["cases"]):
        ids = tokenizer(case["text"])["input_ids"]
        if ids != case["ids"]:
            problems.append(f"{case['text']!r}: ids {ids} here, {case['ids']} in Hadal")
        inputs = torch.tensor([case["ids"]])
        expected = model(inputs).logits[0]
        difference = (expected - logits[str(index)]).abs().max().item()
        largest = max(largest, difference)
        if not difference <= TOLERANCE:
            problems.append(f"{case['text']!r}: logits differ by {difference:.1e}")
        out = model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=theirs["completionTokens"],
        )
        continuation = out[0, inputs.shape[1] :].tolist()
        if continuation and continuation[-1] == model.generation_config.eos_token_id:
            continuation.pop()
        same = continuation == case["continuation"]
        if not same:
            problems.append(f"{case['text']!r}: continues {continuation} here, {case['continuation']} in Hadal")
        verdict = f"{len(continuation)} tokens continue {'equally' if same else 'DIFFERENTLY'}"
        print(f"{len(case['ids']):4} tokens, largest logit {expected.abs().max():7.3f}, difference {difference:.1e}, {verdict}")
    print(f"largest difference of a logit: {largest:.2e}")
    for problem in problems:
        print("FAILED", problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
