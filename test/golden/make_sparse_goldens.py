"""Makes goldens of DeepSeek-V3.2 and V4, as make_goldens.py does of the others, without loss and gradients.

Contexts are long enough, and lists of picked keys short enough, that what is picked, the window and the compression all
matter; up to the last 72 positions are decoded by themselves. V4's tensors are written under their official names, which
transformers reads and does not write. Index heads are many: transformers decides between equal scores as it happens to,
and with few heads many scores are zero.

    VENV/bin/python test/golden/make_sparse_goldens.py OUT [NAME ...]

`test/golden` keeps the first of each; run all of them after a change to an architecture.
"""

import json
import pathlib
import sys

import torch
from make_goldens import COMMON, LATENT, randomize
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

V32 = LATENT | {
    "model_type": "deepseek_v32", "n_group": 4, "topk_group": 2, "index_n_heads": 24, "index_head_dim": 10, "index_topk": 9,
}  # fmt: skip
V4 = COMMON | {
    "model_type": "deepseek_v4", "rms_norm_eps": 1e-6, "hidden_size": 40, "moe_intermediate_size": 20,
    "num_attention_heads": 6, "num_key_value_heads": 1, "head_dim": 20, "qk_rope_head_dim": 8, "q_lora_rank": 28,
    "o_groups": 3, "o_lora_rank": 10, "n_routed_experts": 7, "n_shared_experts": 1, "num_experts_per_tok": 3,
    "num_hash_layers": 1, "routed_scaling_factor": 2.5, "swiglu_limit": 1.0, "sliding_window": 16, "index_n_heads": 24,
    "index_head_dim": 12, "index_topk": 5, "compress_rope_theta": 160000.0, "hc_mult": 4, "hc_sinkhorn_iters": 20,
    "hc_eps": 1e-6,
}  # fmt: skip
YARN = {"type": "yarn", "factor": 16.0, "original_max_position_embeddings": 64, "beta_fast": 32, "beta_slow": 1}

VARIANTS = {
    "deepseek-v32-tied": V32 | {"tie_word_embeddings": True, "first_k_dense_replace": 0, "num_hidden_layers": 2,
        "max_position_embeddings": 256, "tokens": 70},
    "deepseek-v32-long": V32 | {"n_routed_experts": 16, "n_group": 8, "topk_group": 3, "num_experts_per_tok": 5,
        "index_topk": 64, "index_n_heads": 40, "index_head_dim": 32, "n_shared_experts": 2, "tokens": 250, "seed": 1,
        "rope_scaling": {"type": "yarn", "factor": 8.0, "mscale": 1.0, "mscale_all_dim": 1.0,
                         "beta_fast": 32, "beta_slow": 1, "original_max_position_embeddings": 32}},
    "deepseek-v32-one": V32 | {"index_topk": 1, "first_k_dense_replace": 3, "tokens": 40},
    "deepseek-v4-released-ratios": V4 | {"num_hidden_layers": 4, "compress_ratios": [128, 0, 4, 128, 0],
        "rope_scaling": YARN, "sliding_window": 70, "index_topk": 20, "tokens": 150},
    "deepseek-v4-small-ratios": V4 | {"num_hidden_layers": 4, "compress_ratios": [128, 0, 4, 128, 0],
        "compress_rate_hca": 32, "rope_scaling": YARN, "tokens": 75},
    "deepseek-v4-tied": V4 | {"num_hidden_layers": 3, "compress_ratios": [4, 128, 4], "tie_word_embeddings": True,
        "num_hash_layers": 0, "hc_mult": 2, "hc_sinkhorn_iters": 3, "o_groups": 1, "index_topk": 12,
        "sliding_window": 5, "compress_rate_csa": 8, "compress_rate_hca": 64, "tokens": 200},
    "deepseek-v4-wide": V4 | {"num_hidden_layers": 3, "compress_ratios": [128, 4, 0], "rope_scaling": YARN,
        "max_position_embeddings": 512, "sliding_window": 100, "num_hash_layers": 3, "num_attention_heads": 12,
        "o_groups": 12, "head_dim": 72, "qk_rope_head_dim": 64, "index_head_dim": 64, "index_topk": 40, "tokens": 400},
    "deepseek-v4-all-picked": V4 | {"num_hidden_layers": 2, "compress_ratios": [4, 4], "index_topk": 100, "hc_mult": 3,
        "scoring_func": "sigmoid", "n_routed_experts": 4, "num_experts_per_tok": 4, "tokens": 130},
    "deepseek-v4-window-alone": V4 | {"num_hidden_layers": 2, "compress_ratios": [0, 0], "sliding_window": 70,
        "swiglu_limit": 10.0, "hc_sinkhorn_iters": 1, "tokens": 150},
}  # fmt: skip

OURS = {"tokens", "seed"}

# What V4's tensors are called officially, by what transformers calls them; the first that fits decides.
OFFICIAL = [
    ("compressor.indexer.scorer.weights_proj.", "indexer.weights_proj."),
    ("compressor.indexer.q_b_proj.", "indexer.wq_b."),
    ("compressor.indexer.kv_proj.", "indexer.compressor.wkv."),
    ("compressor.indexer.gate_proj.", "indexer.compressor.wgate."),
    ("compressor.indexer.position_bias", "indexer.compressor.ape"),
    ("compressor.indexer.kv_norm.", "indexer.compressor.norm."),
    ("compressor.kv_proj.", "compressor.wkv."),
    ("compressor.gate_proj.", "compressor.wgate."),
    ("compressor.position_bias", "compressor.ape"),
    ("compressor.kv_norm.", "compressor.norm."),
    ("self_attn.q_a_proj.", "self_attn.wq_a."),
    ("self_attn.q_a_norm.", "self_attn.q_norm."),
    ("self_attn.q_b_proj.", "self_attn.wq_b."),
    ("self_attn.kv_proj.", "self_attn.wkv."),
    ("self_attn.o_a_proj.", "self_attn.wo_a."),
    ("self_attn.o_b_proj.", "self_attn.wo_b."),
    ("self_attn.sinks", "self_attn.attn_sink"),
    ("gate.e_score_correction_bias", "gate.bias"),
    ("shared_experts.gate_proj.", "shared_experts.w1."),
    ("shared_experts.up_proj.", "shared_experts.w3."),
    ("shared_experts.down_proj.", "shared_experts.w2."),
    ("input_layernorm.", "attn_norm."),
    ("post_attention_layernorm.", "ffn_norm."),
    ("attn_hc.", "hc_attn_"),
    ("ffn_hc.", "hc_ffn_"),
    ("hc_head.hc_", "hc_head_"),
    ("embed_tokens.", "embed."),
    ("lm_head.", "head."),
]


def official(tensors):
    for name, tensor in tensors.items():
        name = name.removeprefix("model.")
        if name.endswith("experts.gate_up_proj"):
            for e, both in enumerate(tensor):
                for kind, half in zip(("w1", "w3"), both.chunk(2)):
                    yield f"{name.removesuffix('.gate_up_proj').replace('.mlp.', '.ffn.')}.{e}.{kind}.weight", half
        elif name.endswith("experts.down_proj"):
            for e, one in enumerate(tensor):
                yield f"{name.removesuffix('.down_proj').replace('.mlp.', '.ffn.')}.{e}.w2.weight", one
        elif name.endswith("tid2eid"):
            yield name.replace(".mlp.", ".ffn."), tensor.to(torch.int32)
        else:
            theirs, ours = next((pair for pair in OFFICIAL if pair[0] in name), ("", ""))
            name = name.replace(theirs, ours, 1) if theirs else name
            yield name.replace(".self_attn.", ".attn.").replace(".mlp.", ".ffn."), tensor


def reference(model, vocabulary, tokens):
    ids = torch.randint(0, vocabulary, (2, tokens))
    begin = max(3, tokens - 72)
    with torch.no_grad():
        out = model(ids, output_hidden_states=True, use_cache=False)
        cached = model(ids[:, :begin], use_cache=True)
        steps = []
        for i in range(begin, tokens):
            cached = model(ids[:, i : i + 1], past_key_values=cached.past_key_values, use_cache=True)
            steps.append(cached.logits)
        greedy = ids[:1, :8]
        while greedy.shape[1] < 24:
            greedy = torch.cat([greedy, model(greedy, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
    apart = (out.logits[:, begin:] - torch.cat(steps, dim=1)).abs().max().item()
    if apart > 5e-5:
        # Two keys so close that a rounding decides between them: no golden for anyone else either.
        raise ArithmeticError(f"decoded logits differ from the whole by {apart}: choose another seed")
    golden = {
        "input_ids": ids,
        "logits": out.logits,
        # Side by side: V4's streams are several, and one at the end.
        "hidden_states": torch.cat([states.reshape(-1) for states in out.hidden_states]),
        "decode_logits": torch.cat(steps, dim=1),
        "greedy_ids": greedy,
    }
    return {name: tensor.detach().clone().contiguous() for name, tensor in golden.items()}


def make(name, variant, out):
    torch.manual_seed(sum(name.encode()) + variant.get("seed", 0))
    directory = out / name
    directory.mkdir(parents=True, exist_ok=True)
    # Copied: transformers edits what it is given.
    config = json.loads(json.dumps({key: value for key, value in variant.items() if key not in OURS}))
    text = json.dumps(config, indent=2) + "\n"
    is_v4 = config["model_type"] == "deepseek_v4"
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config), dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tables = {name: buffer for name, buffer in model.named_buffers() if name.endswith("tid2eid")}
    for buffer in tables.values():
        buffer.data = buffer.data.float()
    randomize(model, 0.1)
    for buffer in tables.values():
        experts = torch.stack([torch.randperm(config["n_routed_experts"]) for _ in range(buffer.shape[0])])
        buffer.data = experts[:, : buffer.shape[1]].contiguous()
    for name, parameter in model.named_parameters():
        if name.endswith("position_bias"):
            parameter.data.normal_(0, 0.5)
    path = directory / "model.safetensors"
    if is_v4:
        tensors = {name: tensor.contiguous() for name, tensor in official(model.state_dict())}
        if config.get("tie_word_embeddings"):
            del tensors["head.weight"]
        save_file(tensors, path, {"format": "pt"})
    else:
        model.save_pretrained(directory)
        (directory / "generation_config.json").unlink(missing_ok=True)
    save_file(reference(model, variant["vocab_size"], variant["tokens"]), directory / "golden.safetensors")
    (directory / "config.json").write_text(text)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    for chosen in sys.argv[2:] or VARIANTS:
        make(chosen, VARIANTS[chosen], target)
        print(target / chosen)
