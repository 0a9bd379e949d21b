"""GRPO steps with TRL's GRPOTrainer, for bench/grpo.ts to race against.

The same weights, prompts, loss, optimizer and sizes as Hadal's job, in float32, with generation through transformers' generate,
as TRL does it without vLLM. Reads the `work.json` of a directory that bench/grpo.ts wrote. A line on standard input lets one
step run; the answer is a line of JSON with its seconds by part, its tokens and rewards.

What can be done in more than one way is an option. Of the ways to multiply with experts, grouped_mm and eager take the same time
while sampling, batched_mm seven times as much; sizes of micro-batches differ little.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import torch
import transformers
import trl
from datasets import Dataset

parser = argparse.ArgumentParser()
parser.add_argument("directory", type=Path)
# Sequences of one forward and backward pass; TRL adds their gradients up.
parser.add_argument("--micro-batch", type=int, default=16)
# How transformers multiplies with experts: 'grouped_mm', 'batched_mm' or 'eager'.
parser.add_argument("--experts", default="grouped_mm")
options = parser.parse_args()

work = json.loads((options.directory / "work.json").read_text())
torch.set_num_threads(work["threads"])
transformers.utils.logging.set_verbosity_error()
# Whatever a library prints must not be taken for an answer.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def evaluates_to(text: str, numbers: list[int], target: int) -> float:
    """As packages/training/tasks/countdown.ts judges: an expression of all the numbers, in the last line, worth the target."""
    line = text.strip().split("\n")[-1].replace("×", "*").replace("÷", "/").replace("−", "-")
    for candidate in re.findall(r"[\d(][\d\s+\-*/()]*[\d)]", line):
        if sorted(map(int, re.findall(r"\d+", candidate))) != sorted(numbers):
            continue
        try:
            if eval(candidate, {"__builtins__": {}}) == target:
                return 1.0
        except (SyntaxError, ZeroDivisionError, TypeError):
            pass
    return 0.0


def reward(completions, numbers, target, **_):
    return [evaluates_to(*sample) for sample in zip(completions, numbers, target)]


class Clock:
    """Seconds by part, of wall and of the processors of all threads."""

    def __init__(self):
        self.seconds = {"wall": {}, "cpu": {}}

    def time(self, part, call, *arguments, **named):
        begin = (time.perf_counter(), time.process_time())
        result = call(*arguments, **named)
        self.add(part, begin)
        return result

    def add(self, part, begin):
        self.seconds["wall"][part] = time.perf_counter() - begin[0]
        self.seconds["cpu"][part] = time.process_time() - begin[1]


class TimedTrainer(trl.GRPOTrainer):
    def _tokenize_prompts(self, prompts):
        ids, images, fields = super()._tokenize_prompts(prompts)
        assert ids == [expected_ids[prompt] for prompt in prompts], "token ids differ from Hadal's"
        return ids, images, fields

    def _generate_single_turn(self, *arguments, **named):
        result = self.clock.time("generation", super()._generate_single_turn, *arguments, **named)
        self.tokens = sum(map(len, result[0]))
        return result

    def _calculate_rewards(self, *arguments, **named):
        result = self.clock.time("scoring", super()._calculate_rewards, *arguments, **named)
        self.rewards = result.mean().item()
        return result


class Turns(transformers.TrainerCallback):
    """Waits for its turn before every step, and tells what the step took."""

    def on_step_begin(self, *_, **__):
        if not sys.stdin.readline():
            os._exit(0)
        trainer.clock = Clock()
        self.begin = (time.perf_counter(), time.process_time())

    def on_step_end(self, *_, **__):
        trainer.clock.add("total", self.begin)
        for of in trainer.clock.seconds.values():
            of["update"] = of["total"] - of["generation"] - of["scoring"]
        answer = {**trainer.clock.seconds, "tokens": trainer.tokens, "reward": trainer.rewards}
        print(json.dumps(answer), file=answers, flush=True)


expected_ids = {prompt["text"]: prompt["ids"] for prompt in work["prompts"]}
rows = [{"prompt": each["text"], "numbers": each["numbers"], "target": each["target"]} for each in work["prompts"]]
samples = work["batchSize"] * work["groupSize"]
model = transformers.AutoModelForCausalLM.from_pretrained(
    work["model"], dtype=torch.float32, experts_implementation=options.experts
)
config = trl.GRPOConfig(
    output_dir=str(options.directory / "trl"),
    per_device_train_batch_size=options.micro_batch,
    gradient_accumulation_steps=samples // options.micro_batch,
    num_generations=work["groupSize"],
    max_completion_length=work["maxTokens"],
    generation_kwargs={"min_new_tokens": work["maxTokens"]} if work["ends"] == "forced" else None,
    temperature=1.0,
    loss_type="dapo",
    beta=0.0,
    num_iterations=1,
    epsilon=0.2,
    epsilon_high=0.28,
    router_aux_loss_coef=0.0,
    optim="adamw_torch",
    adam_beta2=0.95,
    weight_decay=0.0,
    max_grad_norm=1.0,
    learning_rate=work["learningRate"],
    lr_scheduler_type="constant",
    bf16=False,
    use_cpu=True,
    # It would trade time for memory.
    gradient_checkpointing=False,
    shuffle_dataset=False,
    max_steps=len(rows) // work["batchSize"],
    save_strategy="no",
    logging_strategy="no",
    report_to="none",
    disable_tqdm=True,
)
trainer = TimedTrainer(
    model=model,
    args=config,
    reward_funcs=reward,
    train_dataset=Dataset.from_list(rows),
    processing_class=transformers.AutoTokenizer.from_pretrained(work["model"]),
    callbacks=[Turns()],
)
versions = f"TRL {trl.__version__}, transformers {transformers.__version__}, PyTorch {torch.__version__}"
print(json.dumps({"versions": versions}), file=answers, flush=True)
trainer.train()
