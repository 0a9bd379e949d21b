"""Hadal's training step in PyTorch, for bench/train.ts to race against.

The same model (DeepSeek-V3 with its multi-token prediction module), losses, optimizers and documents as packages/training,
written as one would for speed on a processor: attention document by document through the fused kernel, experts over
segments sorted by expert, logits for supervised rows only, fused AdamW, Newton-Schulz over batches of matrices of one
shape, the parts between them compiled. Everything is float32. Reads a directory that bench/train.ts wrote (`work.json`,
`weights.safetensors`).

As a peer it answers requests on standard input, a line of JSON each:

    {"start": {"method": "muon", "predictorWeight": 0.3}}    first weights, fresh optimizer; answers {"versions": ...}
    {"run": [0, 1, 2]}                                       trains on these steps; answers seconds and losses

By itself it times its own alternatives: train_torch.py DIRECTORY --explore. What that has to say is why the defaults
below are what they are.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor


@dataclass(frozen=True)
class Choices:
    """What can be done in more than one way; the defaults are the fastest measured."""

    # How queries find the keys of their own document: 'documents' (one call each), 'padded' (calls over documents of
    # similar length, padded behind the end, where causal attention never looks), 'mask' (one block-diagonal mask a row).
    attention: str = "documents"
    # The rows of a step in one forward and backward pass, or in one each.
    rows: str = "joined"
    # Newton-Schulz over all matrices of one shape, or over those of one parameter.
    muon: str = "shape"
    # The parts of a block around attention and experts through torch.compile; it takes half a minute to begin with.
    compiled: bool = True


# ---------------------------------------------------------------------------------------------------------------------
# Documents


@dataclass(frozen=True)
class Batch:
    """Whole documents, one after another. `following` is the next token of the same document, 0 at its end."""

    ids: Tensor
    following: Tensor
    positions: Tensor
    lengths: list[int]
    # Rows with a supervised target one token (two tokens) ahead, and these targets.
    main: tuple[Tensor, Tensor]
    predictor: tuple[Tensor, Tensor]


def make_batch(documents: list[dict]) -> Batch:
    ids, following, positions = [], [], []
    supervised = {1: ([], []), 2: ([], [])}
    for document in documents:
        tokens, weights, start = document["tokens"], document["weights"], len(ids)
        assert set(weights) <= {0, 1}, "a token is supervised or it is not"
        ids += tokens
        following += tokens[1:] + [0]
        positions += range(len(tokens))
        for ahead, (rows, targets) in supervised.items():
            for i in range(len(tokens) - ahead):
                if weights[i + ahead]:
                    rows.append(start + i)
                    targets.append(tokens[i + ahead])
    main, predictor = (tuple(map(torch.tensor, supervised[ahead])) for ahead in (1, 2))
    lengths = [len(document["tokens"]) for document in documents]
    return Batch(torch.tensor(ids), torch.tensor(following), torch.tensor(positions), lengths, main, predictor)


# ---------------------------------------------------------------------------------------------------------------------
# Operations


class Gather(torch.autograd.Function):
    """x[tokens], where every row of x is taken `per_token` times: `slots` says where to, token by token."""

    @staticmethod
    def forward(ctx, x, tokens, slots, per_token):
        ctx.save_for_backward(slots)
        ctx.per_token = per_token
        return x.index_select(0, tokens)

    @staticmethod
    def backward(ctx, dy):
        (slots,) = ctx.saved_tensors
        # Far faster than the general backward of index_select, which must expect any index.
        return dy.index_select(0, slots).view(-1, ctx.per_token, dy.shape[1]).sum(1), None, None, None


class Permute(torch.autograd.Function):
    """x[order], where order is a permutation and `inverse` undoes it."""

    @staticmethod
    def forward(ctx, x, order, inverse):
        ctx.save_for_backward(inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx, dy):
        (inverse,) = ctx.saved_tensors
        return dy.index_select(0, inverse), None, None


class Pad(torch.autograd.Function):
    """Rows of x to their `places` among `total` rows, zeros between them."""

    @staticmethod
    def forward(ctx, x, places, total):
        ctx.save_for_backward(places)
        return x.new_zeros(total, *x.shape[1:]).index_copy_(0, places, x)

    @staticmethod
    def backward(ctx, dy):
        (places,) = ctx.saved_tensors
        return dy.index_select(0, places), None, None


class Unpad(torch.autograd.Function):
    """The inverse of Pad."""

    @staticmethod
    def forward(ctx, x, places):
        ctx.save_for_backward(places)
        ctx.total = x.shape[0]
        return x.index_select(0, places)

    @staticmethod
    def backward(ctx, dy):
        (places,) = ctx.saved_tensors
        return dy.new_zeros(ctx.total, *dy.shape[1:]).index_copy_(0, places, dy), None


def rms_norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, w.shape, w, eps)


def swiglu(x: Tensor) -> Tensor:
    gate, up = x.chunk(2, -1)
    return F.silu(gate) * up


def rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Turns neighbouring pairs of x [N, H, R] by the cosines and sines `turns` [2, N, 1, R / 2]."""
    # Complex numbers would be shorter, but the compiler makes no code for them.
    a, b = x.unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = turns.unbind(0)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


def before_attention(x, norm, q_proj, kv_a, kv_norm, kv_b, turns, heads, nope, rope, eps):
    """Queries, keys [N, H, nope + rope] and values [N, H, v] of latent attention in its expanded form."""
    N = x.shape[0]
    x = rms_norm(x, norm, eps)
    q = F.linear(x, q_proj).view(N, heads, nope + rope)
    latent, k_pe = F.linear(x, kv_a).split([kv_b.shape[1], rope], -1)
    kv = F.linear(rms_norm(latent, kv_norm, eps), kv_b).view(N, heads, -1)
    q = torch.cat((q[..., :nope], rotate(q[..., nope:], turns)), -1)
    k_pe = rotate(k_pe.unsqueeze(1), turns).expand(-1, heads, -1)
    return q, torch.cat((kv[..., :nope], k_pe), -1), kv[..., nope:]


def after_attention(x, attended, o_proj, norm, eps):
    """The residual stream after attention, and its norm, which feeds the feed-forward layer."""
    h = x + F.linear(attended, o_proj)
    return h, rms_norm(h, norm, eps)


def gated(x, gate_up, down):
    return F.linear(swiglu(F.linear(x, gate_up)), down)


def route(x, router, bias, per_token, scale):
    """Experts of each token and their weights: sigmoid scores, chosen with a bias that has no gradient."""
    scores = F.linear(x, router).sigmoid()
    ids = (scores.detach() + bias).topk(per_token, sorted=False).indices
    weights = scores.gather(1, ids)
    return ids, weights * (scale / (weights.sum(1, keepdim=True) + 1e-20))


def experts(x, gate_up, down, ids, weights, counts):
    N, K = ids.shape
    order = ids.flatten().argsort(stable=True)
    slots = torch.empty_like(order)
    slots[order] = torch.arange(N * K)
    sizes = counts.tolist()
    segments = Gather.apply(x, order // K, slots, K).split(sizes)
    # unbind: its backward is one stack, where indexing would fill a whole gradient for every expert.
    out = [gated(*operands) for operands in zip(segments, gate_up.unbind(0), down.unbind(0))]
    y = Permute.apply(torch.cat(out), slots, order).view(N, K, -1)
    return torch.bmm(weights.unsqueeze(1), y).squeeze(1)


# ---------------------------------------------------------------------------------------------------------------------
# Attention inside documents: three ways to say it to the fused kernel


def fused(q, k, v, scale, **options):
    """Of [B, T, H, d] to the same."""
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, scale=scale, **options).transpose(1, 2)


class DocumentAttention:
    def __init__(self, lengths: list[int]):
        self.lengths = lengths

    def __call__(self, q, k, v, scale):
        documents = zip(*(t.unsqueeze(0).split(self.lengths, 1) for t in (q, k, v)))
        return torch.cat([fused(*document, scale, is_causal=True) for document in documents], 1).flatten(2)[0]


class PaddedAttention:
    """Documents sorted by length, in calls over those that padding makes at most a quarter longer."""

    def __init__(self, lengths: list[int]):
        starts = list(itertools.accumulate(lengths, initial=0))
        self.shapes = []
        places = torch.empty(starts[-1], dtype=torch.long)
        self.total = 0
        left = sorted(range(len(lengths)), key=lambda i: -lengths[i])
        while left:
            longest = lengths[left[0]]
            group = list(itertools.takewhile(lambda i: lengths[i] >= 0.8 * longest, left))
            left = left[len(group) :]
            self.shapes.append((len(group), longest))
            for i in group:
                places[starts[i] : starts[i + 1]] = self.total + torch.arange(lengths[i])
                self.total += longest
        self.places = places

    def __call__(self, q, k, v, scale):
        sizes = [count * longest for count, longest in self.shapes]
        groups = zip(self.shapes, *(Pad.apply(t, self.places, self.total).split(sizes) for t in (q, k, v)))
        out = [
            fused(*(t.unflatten(0, shape) for t in group), scale, is_causal=True).flatten(0, 1)
            for shape, *group in groups
        ]
        return Unpad.apply(torch.cat(out), self.places).flatten(1)


class MaskedAttention:
    def __init__(self, lengths: list[int]):
        document = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        allowed = torch.tril(document.unsqueeze(0) == document.unsqueeze(1))
        self.mask = torch.zeros(allowed.shape).masked_fill_(~allowed, -torch.inf)

    def __call__(self, q, k, v, scale):
        q, k, v = (t.unsqueeze(0) for t in (q, k, v))
        return fused(q, k, v, scale, attn_mask=self.mask).flatten(2)[0]


attentions = {"documents": DocumentAttention, "padded": PaddedAttention, "mask": MaskedAttention}


# ---------------------------------------------------------------------------------------------------------------------
# Model


class Model:
    """Parameters by name, gate and up projections fused; buffers (router biases) apart from them."""

    def __init__(self, config: dict, file: dict[str, Tensor], choices: Choices):
        assert config["n_group"] == 1 and config["q_lora_rank"] is None and config["norm_topk_prob"]
        self.config = config
        self.choices = choices
        self.parameters: dict[str, Tensor] = {}
        self.biases: dict[str, Tensor] = {}
        self.counts: dict[str, Tensor] = {}
        left = dict(file)
        for layer in range(config["num_hidden_layers"] + 1):
            self._fuse(left, f"model.layers.{layer}.mlp.", layer)
        for name, value in left.items():
            if name.endswith("e_score_correction_bias"):
                self.biases[name.removesuffix("gate.e_score_correction_bias")] = value.clone()
            else:
                self.parameters[name] = value.clone()
        for parameter in self.parameters.values():
            parameter.requires_grad_()
        rope = config["qk_rope_head_dim"]
        frequencies = config["rope_theta"] ** (-torch.arange(0, rope, 2, dtype=torch.float64) / rope)
        angles = torch.outer(torch.arange(config["max_position_embeddings"], dtype=torch.float64), frequencies)
        self.turns = torch.stack((angles.cos(), angles.sin())).float()
        compiled = torch.compile(dynamic=True) if choices.compiled else lambda function: function
        self.before_attention, self.after_attention = compiled(before_attention), compiled(after_attention)
        self.gated, self.route = compiled(gated), compiled(route)

    def _fuse(self, left: dict[str, Tensor], at: str, layer: int) -> None:
        pair = lambda name: torch.cat([left.pop(f"{at}{name}{half}_proj.weight") for half in ("gate", "up")])
        down = lambda name: left.pop(f"{at}{name}down_proj.weight").clone()
        if layer < self.config["first_k_dense_replace"]:
            self.parameters |= {f"{at}gate_up": pair(""), f"{at}down": down("")}
            return
        names = [f"experts.{e}." for e in range(self.config["n_routed_experts"])]
        self.parameters |= {
            f"{at}experts.gate_up": torch.stack([pair(name) for name in names]),
            f"{at}experts.down": torch.stack([down(name) for name in names]),
            f"{at}shared.gate_up": pair("shared_experts."),
            f"{at}shared.down": down("shared_experts."),
        }

    def losses(self, batch: Batch, totals: tuple[int, int], predictor_weight: float):
        """Summed negative log-likelihoods over the step's totals; the second is None without a predictor."""
        p, eps, layers = self.parameters, self.config["rms_norm_eps"], self.config["num_hidden_layers"]
        turns = self.turns[:, batch.positions].unsqueeze(2)
        attention = attentions[self.choices.attention](batch.lengths)
        x = F.embedding(batch.ids, p["model.embed_tokens.weight"])
        for layer in range(layers):
            x = self._block(layer, x, turns, attention)
        hidden = rms_norm(x, p["model.norm.weight"], eps)
        main = self._loss(hidden, batch.main) / totals[0]
        if predictor_weight == 0:
            return main, None
        at = f"model.layers.{layers}."
        next_token = rms_norm(F.embedding(batch.following, p["model.embed_tokens.weight"]), p[at + "enorm.weight"], eps)
        here = rms_norm(hidden, p[at + "hnorm.weight"], eps)
        x = F.linear(torch.cat((next_token, here), -1), p[at + "eh_proj.weight"])
        x = self._block(layers, x, turns, attention)
        ahead = rms_norm(x, p[at + "shared_head.norm.weight"], eps)
        return main, self._loss(ahead, batch.predictor) / totals[1]

    def _loss(self, hidden: Tensor, supervised: tuple[Tensor, Tensor]) -> Tensor:
        rows, targets = supervised
        head = "model.embed_tokens.weight" if self.config["tie_word_embeddings"] else "lm_head.weight"
        logits = F.linear(hidden.index_select(0, rows), self.parameters[head])
        return F.cross_entropy(logits, targets, reduction="sum")

    def _block(self, layer: int, x: Tensor, turns: Tensor, attention) -> Tensor:
        c, eps = self.config, self.config["rms_norm_eps"]
        at = f"model.layers.{layer}."
        w = lambda name: self.parameters[f"{at}{name}.weight"]
        heads, nope, rope = c["num_attention_heads"], c["qk_nope_head_dim"], c["qk_rope_head_dim"]
        latent = (w("self_attn.kv_a_proj_with_mqa"), w("self_attn.kv_a_layernorm"), w("self_attn.kv_b_proj"))
        q, k, v = self.before_attention(
            x, w("input_layernorm"), w("self_attn.q_proj"), *latent, turns, heads, nope, rope, eps
        )
        attended = attention(q, k, v, (nope + rope) ** -0.5)
        h, normed = self.after_attention(x, attended, w("self_attn.o_proj"), w("post_attention_layernorm"), eps)
        return h + self._feed_forward(f"{at}mlp.", normed)

    def _feed_forward(self, at: str, x: Tensor) -> Tensor:
        p, c = self.parameters, self.config
        if at not in self.biases:
            return self.gated(x, p[at + "gate_up"], p[at + "down"])
        ids, weights = self.route(
            x, p[at + "gate.weight"], self.biases[at], c["num_experts_per_tok"], c["routed_scaling_factor"]
        )
        counts = torch.bincount(ids.flatten(), minlength=c["n_routed_experts"])
        self.counts[at] = self.counts.get(at, 0) + counts
        routed = experts(x, p[at + "experts.gate_up"], p[at + "experts.down"], ids, weights, counts)
        return routed + self.gated(x, p[at + "shared.gate_up"], p[at + "shared.down"])


# ---------------------------------------------------------------------------------------------------------------------
# Optimizers


def matrices(name: str, parameter: Tensor, config: dict) -> list[Tensor]:
    """The hidden matrices in a parameter, as views [n, rows, cols]; none of an embedding, a head, a router, a norm."""
    if parameter.dim() == 1 or name.endswith(("embed_tokens.weight", "lm_head.weight", "mlp.gate.weight")):
        return []
    if name.endswith("gate_up"):
        return [parameter.view(-1, parameter.shape[-2] // 2, parameter.shape[-1])]
    if name.endswith("kv_a_proj_with_mqa.weight"):
        latent, rope = parameter.split([config["kv_lora_rank"], config["qk_rope_head_dim"]])
        return [latent.unsqueeze(0), rope.unsqueeze(0)]
    return [parameter if parameter.dim() == 3 else parameter.unsqueeze(0)]


class Muon:
    """Jordan et al. 2024, scaled to a fixed root mean square (Moonlight, arXiv 2502.16982, section 2.2)."""

    def __init__(self, parameters: dict[str, Tensor], config: dict, settings: dict, choices: Choices):
        self.parameters, self.config, self.settings, self.choices = parameters, config, settings, choices
        self.momenta = {name: torch.zeros_like(value) for name, value in parameters.items()}

    @torch.no_grad()
    def step(self, lr: float) -> None:
        s = self.settings
        moving = {name: p for name, p in self.parameters.items() if p.grad is not None}
        gradients, momenta = [p.grad for p in moving.values()], [self.momenta[name] for name in moving]
        torch._foreach_mul_(momenta, s["momentum"])
        torch._foreach_add_(momenta, gradients)
        # Nesterov's look ahead, in the gradients' own memory.
        torch._foreach_add_(gradients, momenta, alpha=s["momentum"])
        groups: dict[tuple, list[tuple[Tensor, Tensor]]] = {}
        for name, p in moving.items():
            views = zip(matrices(name, p, self.config), matrices(name, p.grad, self.config))
            for i, (target, update) in enumerate(views):
                key = tuple(target.shape[1:]) + (() if self.choices.muon == "shape" else (name, i))
                groups.setdefault(key, []).append((target, update))
        for members in groups.values():
            updates = [update for _, update in members]
            x = self._orthogonal(torch.cat(updates) if len(updates) > 1 else updates[0])
            factor = -lr * s["updateRms"] * max(x.shape[1:]) ** 0.5
            for (target, _), update in zip(members, x.split([len(update) for update in updates])):
                target.mul_(1 - lr * s["weightDecay"]).add_(update, alpha=factor)

    def _orthogonal(self, x: Tensor) -> Tensor:
        x = x * ((x.square().mean((1, 2), keepdim=True) + 1e-20).rsqrt() * (x.shape[1] * x.shape[2]) ** -0.5)
        wide = x.shape[1] <= x.shape[2]
        for a, b, c in self.settings["iterations"]:
            gram = torch.bmm(x, x.mT) if wide else torch.bmm(x.mT, x)
            gram = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
            x = torch.baddbmm(x, gram, x, beta=a) if wide else torch.baddbmm(x, x, gram, beta=a)
        return x


class Optimizer:
    def __init__(self, parameters: dict[str, Tensor], work: dict, method: str, choices: Choices):
        hidden = {name: p for name, p in parameters.items() if matrices(name, p, work["config"])}
        by_muon = hidden if method == "muon" else {}
        settings = work["optimizer"]["adamw"]
        by_adamw = [p for name, p in parameters.items() if name not in by_muon]
        groups = [
            {"params": [p for p in by_adamw if p.dim() > 1], "weight_decay": settings["weightDecay"]},
            {"params": [p for p in by_adamw if p.dim() == 1], "weight_decay": 0.0},
        ]
        common = {"lr": work["learningRates"]["adamw"], "eps": settings["eps"], "fused": True}
        self.adamw = torch.optim.AdamW(groups, betas=(settings["beta1"], settings["beta2"]), **common)
        self.muon = Muon(by_muon, work["config"], work["optimizer"]["muon"], choices) if by_muon else None
        self.rate = work["learningRates"]["muon"]

    def step(self) -> None:
        self.adamw.step()
        if self.muon:
            self.muon.step(self.rate)


class Trainer:
    def __init__(self, work: dict, file: dict[str, Tensor], variant: dict, choices: Choices):
        self.work, self.predictor_weight = work, variant["predictorWeight"]
        self.model = Model(work["config"], file, choices)
        self.optimizer = Optimizer(self.model.parameters, work, variant["method"], choices)

    def step(self, batches: list[Batch]) -> dict:
        parameters = list(self.model.parameters.values())
        for parameter in parameters:
            parameter.grad = None
        totals = tuple(sum(len(rows) for rows, _ in kind) for kind in zip(*((b.main, b.predictor) for b in batches)))
        loss, predictor_loss = 0.0, 0.0
        for batch in batches:
            main, predictor = self.model.losses(batch, totals, self.predictor_weight)
            (main if predictor is None else main + self.predictor_weight * predictor).backward()
            loss += main.item()
            predictor_loss += 0.0 if predictor is None else predictor.item()
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).item()
        clip = min(1.0, self.work["clipNorm"] / (norm + 1e-6))
        if clip < 1:
            torch._foreach_mul_(gradients, clip)
        self.optimizer.step()
        for at, counts in self.model.counts.items():
            load = counts.float()
            self.model.biases[at] += self.work["balanceRate"] * torch.sign(load.mean() - load)
        self.model.counts.clear()
        return {"loss": loss, "predictorLoss": predictor_loss, "gradientNorm": norm}


# ---------------------------------------------------------------------------------------------------------------------
# Programs


def load(directory: Path, choices: Choices):
    work = json.loads((directory / "work.json").read_text())
    join = choices.rows == "joined"
    steps = [
        [make_batch([document for row in rows for document in row])] if join else [make_batch(row) for row in rows]
        for rows in work["steps"]
    ]
    return work, load_file(directory / "weights.safetensors"), steps


def serve(directory: Path, choices: Choices) -> None:
    work, file, steps = load(directory, choices)
    trainer = None
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            trainer = Trainer(work, file, request["start"], choices)
            answer = {"versions": f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads"}
        else:
            started = time.perf_counter()
            results = [trainer.step(steps[index]) for index in request["run"]]
            answer = {"seconds": time.perf_counter() - started, "results": results}
        print(json.dumps(answer), flush=True)


def explore(directory: Path, base: Choices, rounds: int) -> None:
    """Tokens per second of each alternative to `base`, alternating; the last steps of the file are used."""
    alternatives = {"as it is": base}
    for change in (
        *({"attention": name} for name in attentions if name != base.attention),
        {"rows": "apart" if base.rows == "joined" else "joined"},
        {"muon": "parameter" if base.muon == "shape" else "shape"},
        {"compiled": not base.compiled},
    ):
        alternatives[" ".join(f"{key}={value}" for key, value in change.items())] = Choices(**(vars(base) | change))
    runs = {}
    for name, choices in alternatives.items():
        work, file, steps = load(directory, choices)
        trainer = Trainer(work, file, {"method": "muon", "predictorWeight": 0.3}, choices)
        started = time.perf_counter()
        first = trainer.step(steps[0])
        print(f"{name:24} first step {time.perf_counter() - started:6.1f} s  loss {first['loss']:.5f}", flush=True)
        for batches in steps[1:3]:
            trainer.step(batches)
        runs[name] = (trainer, steps, [])
    for index in range(rounds):
        for trainer, steps, rates in runs.values():
            chosen = [steps[(3 + 3 * index + i) % len(steps)] for i in range(3)]
            started = time.perf_counter()
            for batches in chosen:
                trainer.step(batches)
            tokens = sum(len(batch.ids) for batches in chosen for batch in batches)
            rates.append(tokens / (time.perf_counter() - started))
    for name, (_, _, rates) in runs.items():
        print(f"{name:24} {statistics.median(rates):8.0f} tokens/s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--attention", choices=sorted(attentions), default=Choices.attention)
    parser.add_argument("--rows", choices=("joined", "apart"), default=Choices.rows)
    parser.add_argument("--muon", choices=("shape", "parameter"), default=Choices.muon)
    parser.add_argument("--compiled", action=argparse.BooleanOptionalAction, default=Choices.compiled)
    parser.add_argument("--explore", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    choices = Choices(arguments.attention, arguments.rows, arguments.muon, arguments.compiled)
    if arguments.explore:
        explore(arguments.directory, choices, arguments.rounds)
    else:
        serve(arguments.directory, choices)


if __name__ == "__main__":
    main()
