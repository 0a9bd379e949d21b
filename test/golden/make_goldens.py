"""Makes goldens: tiny checkpoints of random weights, and what Hugging Face transformers computes from them in float32.

Each directory holds config.json, model.safetensors and golden.safetensors (input_ids, hidden_states, logits,
decode_logits, greedy_ids, loss, grad.*), as `hadal verify DIR` reads them. The variants below differ from the released
shapes wherever a configuration may: head counts, key heads, tied embeddings, biases, expert groups, rotary scaling, stored
types. Weights are drawn here and not by transformers, which would leave biases at zero and norms at one.

    python -m venv VENV && VENV/bin/pip install torch==2.15.0 transformers==5.24.0
    VENV/bin/python test/golden/make_goldens.py OUT [NAME ...]

`test/golden` keeps the three that the goldens of the released shapes leave uncovered; run all of them after a change to
an architecture.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

COMMON = {"vocab_size": 96, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "max_position_embeddings": 256}
DENSE = COMMON | {"hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 2}
LATENT = COMMON | {
    "hidden_size": 60, "intermediate_size": 88, "moe_intermediate_size": 20, "num_hidden_layers": 3,
    "num_attention_heads": 5, "num_key_value_heads": 5, "kv_lora_rank": 20, "q_lora_rank": 28,
    "qk_nope_head_dim": 10, "qk_rope_head_dim": 6, "v_head_dim": 14, "n_routed_experts": 12, "n_shared_experts": 1,
    "num_experts_per_tok": 3, "first_k_dense_replace": 1, "routed_scaling_factor": 1.5,
}  # fmt: skip
V2 = LATENT | {"model_type": "deepseek_v2", "norm_topk_prob": False, "topk_method": "greedy", "n_group": None,
               "topk_group": None}  # fmt: skip
V3 = LATENT | {"model_type": "deepseek_v3", "n_group": 4, "topk_group": 2, "num_nextn_predict_layers": 0}
GROUPS = {"topk_method": "group_limited_greedy", "n_group": 3, "topk_group": 2}

VARIANTS = {
    "qwen2-one-key-head-tied": DENSE | {"model_type": "qwen2", "num_attention_heads": 3, "num_key_value_heads": 1,
        "tie_word_embeddings": True, "sliding_window": 4, "max_window_layers": 1, "use_sliding_window": False},
    "qwen2-yarn-bf16": DENSE | {"model_type": "qwen2", "hidden_size": 96, "num_attention_heads": 6, "num_hidden_layers": 3,
        "num_key_value_heads": 3, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        "stored": "bf16", "tokens": 70},
    "qwen2-one-layer-f16": DENSE | {"model_type": "qwen2", "hidden_size": 40, "num_attention_heads": 5,
        "num_key_value_heads": 5, "num_hidden_layers": 1, "vocab_size": 33, "stored": "f16"},
    "llama-all-biases": DENSE | {"model_type": "llama", "hidden_size": 54, "num_attention_heads": 3,
        "num_key_value_heads": 3, "head_dim": 20, "attention_bias": True, "mlp_bias": True},
    "llama-linear-tied": DENSE | {"model_type": "llama", "hidden_size": 56, "num_attention_heads": 7,
        "num_key_value_heads": 1, "tie_word_embeddings": True, "rope_theta": 500000.0, "tokens": 70,
        "rope_scaling": {"type": "linear", "factor": 4.0}},
    "llama-short-scaling": DENSE | {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                         "original_max_position_embeddings": 16}},
    "deepseek-v2-tied": V2 | {"q_lora_rank": None, "first_k_dense_replace": 0, "tie_word_embeddings": True},
    "deepseek-v2-greedy-with-groups": V2 | {"n_group": 4, "topk_group": 1, "routed_scaling_factor": 3.0,
        "n_shared_experts": 2, "num_attention_heads": 3, "num_key_value_heads": 3, "tokens": 70},
    "deepseek-v2-groups": V2 | GROUPS | {"routed_scaling_factor": 2.5, "first_k_dense_replace": 2,
        "num_hidden_layers": 4, "rope_scaling": {"type": "yarn", "factor": 8.0, "mscale": 0.5, "mscale_all_dim": 0.9,
            "beta_fast": 16, "beta_slow": 2, "original_max_position_embeddings": 32}},
    "deepseek-v2-no-shared": V2 | GROUPS | {"n_shared_experts": 0},
    "deepseek-v3-tied-half": V3 | {"q_lora_rank": None, "tie_word_embeddings": True, "rope_interleave": False,
        "n_group": 1, "topk_group": 1, "n_shared_experts": 0, "first_k_dense_replace": 0},
    "deepseek-v3-many-groups": V3 | {"n_routed_experts": 16, "n_group": 8, "topk_group": 3, "num_experts_per_tok": 5,
        "norm_topk_prob": False, "routed_scaling_factor": 0.7, "correction": 2.0, "tokens": 70},
    "deepseek-v3-dense": V3 | {"first_k_dense_replace": 3, "num_attention_heads": 4, "num_key_value_heads": 4},
    "deepseek-v3-fp8-edges": V3 | {"hidden_size": 200, "num_hidden_layers": 2, "intermediate_size": 264,
        "stored": "fp8", "block": [128, 128], "scale": "float"},
    "deepseek-v3-fp8-e8m0": V3 | {"hidden_size": 100, "num_hidden_layers": 2, "stored": "fp8", "block": [32, 32],
        "scale": "e8m0"},
}  # fmt: skip

OURS = {"stored", "block", "scale", "tokens", "correction"}
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16}


def randomize(model, correction):
    """Weights that leave nothing at its neutral value; products of about unit size, so that no layer is lost in another."""
    for name, tensor in list(model.named_parameters()) + list(model.named_buffers()):
        if name.endswith("e_score_correction_bias"):
            tensor.data.normal_(0, correction)
        elif "rotary_emb" in name:
            continue
        elif "norm" in name:
            tensor.data.normal_(1, 0.1)
        elif tensor.dim() == 1:
            tensor.data.normal_(0, 0.3)
        else:
            tensor.data.normal_(0, tensor.shape[-1] ** -0.5 if tensor.shape[-1] else 1)


def fp8(weight, block, scale_kind):
    """E4M3 values and their scales, one for each block; also the float32 values that they stand for."""
    rows, columns = block
    down, across = -(-weight.shape[0] // rows), -(-weight.shape[1] // columns)
    values = torch.empty_like(weight, dtype=torch.float8_e4m3fn)
    scales = torch.empty(down, across)
    back = torch.empty_like(weight)
    for i in range(down):
        for j in range(across):
            at = (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
            scale = weight[at].abs().max() / 448
            if scale_kind == "e8m0":
                scale = 2 ** torch.ceil(torch.log2(scale))
            values[at] = (weight[at] / scale).to(torch.float8_e4m3fn)
            scales[i, j] = scale
            back[at] = values[at].float() * scale
    return values, scales, back


def store(model, directory, variant):
    """Writes model.safetensors in the variant's stored type; the model then holds the values that were stored."""
    stored = variant.get("stored", "f32")
    if stored in DTYPES:
        for tensor in model.parameters():
            tensor.data = tensor.data.to(DTYPES[stored]).float()
    model.save_pretrained(directory)
    path = directory / "model.safetensors"
    tensors = load_file(path)
    if stored in DTYPES:
        keep = "e_score_correction_bias"
        tensors = {name: t if name.endswith(keep) else t.to(DTYPES[stored]) for name, t in tensors.items()}
    if stored == "fp8":
        plain, out = {}, {}
        for name, tensor in tensors.items():
            plain[name] = out[name] = tensor
            if not name.endswith("_proj.weight") and not name.endswith("_proj_with_mqa.weight"):
                continue
            values, scales, plain[name] = fp8(tensor, variant["block"], variant["scale"])
            out[name] = values
            if variant["scale"] == "e8m0":
                out[name.removesuffix(".weight") + ".scale"] = scales.to(torch.float8_e8m0fnu)
            else:
                out[name + "_scale_inv"] = scales
        save_file(plain, path, {"format": "pt"})
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
        tensors = out
    save_file(tensors, path, {"format": "pt"})
    return model


def gradients(model):
    """Under the checkpoint's names: transformers keeps the experts of a layer in two tensors, checkpoints one by one."""
    for name, parameter in model.named_parameters():
        if parameter.grad is None or parameter.numel() == 0:
            continue
        grad = parameter.grad
        if name.endswith("experts.gate_up_proj"):
            at = name.removesuffix(".gate_up_proj")
            for e, both in enumerate(grad):
                for kind, half in zip(("gate_proj", "up_proj"), both.chunk(2)):
                    yield f"grad.{at}.{e}.{kind}.weight", half.contiguous()
        elif name.endswith("experts.down_proj"):
            at = name.removesuffix(".down_proj")
            for e, one in enumerate(grad):
                yield f"grad.{at}.{e}.down_proj.weight", one.contiguous()
        else:
            yield f"grad.{name}", grad


def reference(model, vocabulary, tokens):
    ids = torch.randint(0, vocabulary, (2, tokens))
    model.zero_grad()
    out = model(ids, labels=ids, output_hidden_states=True, use_cache=False)
    out.loss.backward()
    golden = {
        "input_ids": ids,
        "logits": out.logits,
        "hidden_states": torch.stack(out.hidden_states),
        "loss": out.loss.reshape(1),
    } | dict(gradients(model))
    with torch.no_grad():
        cached = model(ids[:, :-4], use_cache=True)
        steps = []
        for i in range(tokens - 4, tokens):
            cached = model(ids[:, i : i + 1], past_key_values=cached.past_key_values, use_cache=True)
            steps.append(cached.logits)
        golden["decode_logits"] = torch.cat(steps, dim=1)
        greedy = ids[:1, :8]
        while greedy.shape[1] < 24:
            greedy = torch.cat([greedy, model(greedy, use_cache=False).logits[:, -1:].argmax(-1)], dim=1)
        golden["greedy_ids"] = greedy
    return {name: tensor.detach().clone().contiguous() for name, tensor in golden.items()}


def make(name, variant, out):
    torch.manual_seed(sum(name.encode()))
    directory = out / name
    directory.mkdir(parents=True, exist_ok=True)
    # Copied: transformers edits what it is given.
    config = json.loads(json.dumps({key: value for key, value in variant.items() if key not in OURS}))
    if "block" in variant:
        config_out = config | {"quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": variant["block"]}}
    else:
        config_out = config
    text = json.dumps(config_out, indent=2) + "\n"
    model = AutoModelForCausalLM.from_config(
        AutoConfig.for_model(**config), dtype=torch.float32, attn_implementation="eager"
    )
    randomize(model, variant.get("correction", 0.1))
    model = store(model.eval(), directory, variant)
    save_file(reference(model, variant["vocab_size"], variant.get("tokens", 24)), directory / "golden.safetensors")
    # As people write it: transformers would save its own defaults and names besides.
    (directory / "config.json").write_text(text)
    (directory / "generation_config.json").unlink(missing_ok=True)


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    for chosen in sys.argv[2:] or VARIANTS:
        make(chosen, VARIANTS[chosen], target)
        print(target / chosen)
