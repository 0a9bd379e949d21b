"""Makes the GGUF goldens from the others: the same models as files that llama.cpp's converter would write.

Everything is written by the `gguf` package of llama.cpp: `NAME.gguf` holds the model of the golden NAME in float32, so
that its golden.safetensors is what must come out, and `blocks.json` a few random blocks of every quantized format with the
float32 values that the package decodes them to. The files can be run by llama.cpp, too.

    python -m venv VENV && VENV/bin/pip install gguf==0.19.0 safetensors
    VENV/bin/python test/golden/make_gguf.py test/golden/gguf
"""

import base64
import json
import math
import pathlib
import sys

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize
from safetensors.numpy import load_file

GOLDENS = pathlib.Path(__file__).parent
MODELS = ["qwen2-one-key-head-tied", "llama", "deepseek-v2-lite"]
ARCHITECTURES = {"qwen2": "qwen2", "llama": "llama", "deepseek_v2": "deepseek2", "deepseek_v3": "deepseek2"}

LAYER_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm",
    "self_attn.q_b_proj": "attn_q_b", "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa",
    "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "mlp.shared_experts.gate_proj": "ffn_gate_shexp", "mlp.shared_experts.up_proj": "ffn_up_shexp",
    "mlp.shared_experts.down_proj": "ffn_down_shexp",
}  # fmt: skip


def rope_divisors(scaling, theta, head_dim):
    """Llama 3's scaling, written out for each frequency."""
    factor, low, high = scaling["factor"], scaling["low_freq_factor"], scaling["high_freq_factor"]
    original = scaling["original_max_position_embeddings"]
    divisors = []
    for i in range(head_dim // 2):
        wavelength = 2 * math.pi * theta ** (2 * i / head_dim)
        smooth = min(1, max(0, (original / wavelength - low) / (high - low)))
        divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, np.float32)


def add_metadata(writer, config):
    heads, vocabulary = config["num_attention_heads"], config["vocab_size"]
    rope = config.get("rope_parameters") or {"rope_theta": config["rope_theta"], **(config.get("rope_scaling") or {})}
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list([f"t{i}" for i in range(vocabulary)])
    writer.add_token_types([1] * vocabulary)
    writer.add_token_merges(["t 1"])
    writer.add_eos_token_id(1)
    if rope.get("type") == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    if "kv_lora_rank" not in config:
        head_dim = config.get("head_dim") or config["hidden_size"] // heads
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
        writer.add_rope_dimension_count(head_dim)
        if rope.get("rope_type") == "llama3":
            writer.add_tensor("rope_freqs.weight", rope_divisors(rope, rope["rope_theta"], head_dim))
        return
    rank, rotated = config["kv_lora_rank"], config["qk_rope_head_dim"]
    writer.add_head_count_kv(1)
    writer.add_key_length(rank + rotated)
    writer.add_value_length(rank)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + rotated)
    writer.add_value_length_mla(config["v_head_dim"])
    writer.add_rope_dimension_count(rotated)
    writer.add_kv_lora_rank(rank)
    writer.add_vocab_size(vocabulary)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(config["routed_scaling_factor"])
    writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)


def write_model(path, name):
    config = json.loads((GOLDENS / name / "config.json").read_text())
    weights = load_file(GOLDENS / name / "model.safetensors")
    architecture = ARCHITECTURES[config["model_type"]]
    writer = gguf.GGUFWriter(str(path), architecture)
    add_metadata(writer, config)
    heads = config["num_attention_heads"]

    def put(tensor, values):
        writer.add_tensor(tensor, np.ascontiguousarray(values.astype(np.float32)))

    experts = {}
    for key, values in weights.items():
        if key == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        top = {"model.embed_tokens.weight": "token_embd", "model.norm.weight": "output_norm", "lm_head.weight": "output"}
        if key in top:
            put(f"{top[key]}.weight", values)
            continue
        layer, rest = key.removeprefix("model.layers.").split(".", 1)
        module, parameter = rest.rsplit(".", 1)
        if ".experts." in module:
            _, _, index, projection = module.split(".")
            experts.setdefault((layer, projection.removesuffix("_proj")), {})[int(index)] = values
        elif module == "self_attn.kv_b_proj":
            nope, width = config["qk_nope_head_dim"], config["qk_nope_head_dim"] + config["v_head_dim"]
            both = values.reshape(heads, width, -1)
            put(f"blk.{layer}.attn_k_b.weight", both[:, :nope].transpose(0, 2, 1))
            put(f"blk.{layer}.attn_v_b.weight", both[:, nope:])
        else:
            ours = LAYER_NAMES[module]
            if architecture == "llama" and ours in ("attn_q", "attn_k"):
                count = heads if ours == "attn_q" else config["num_key_value_heads"]
                halves = values.reshape(count, 2, len(values) // count // 2, *values.shape[1:])
                values = halves.swapaxes(1, 2).reshape(values.shape)
            put(f"blk.{layer}.{ours}.{parameter}", values)
    for (layer, projection), matrices in experts.items():
        put(f"blk.{layer}.ffn_{projection}_exps.weight", np.stack([matrices[i] for i in sorted(matrices)]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_blocks(path):
    """Random bytes, but for the scales: a random one may be infinite."""
    scales = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
              "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}  # fmt: skip
    draw = np.random.default_rng(3)
    out = {}
    for name, offsets in scales.items():
        values, size = gguf.GGML_QUANT_SIZES[Type[name]]
        count = max(2, 128 // values)
        blocks = draw.integers(0, 256, (count, size), dtype=np.uint8)
        for offset in offsets:
            halves = (draw.normal(size=count) * 10.0 ** draw.integers(-6, 2, count)).astype(np.float16)
            blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(count, 2)
        decoded = dequantize(blocks, Type[name]).astype(np.float32)
        encode = lambda array: base64.b64encode(array.tobytes()).decode()  # noqa: E731
        out[name] = {"blocks": encode(blocks), "values": encode(decoded)}
    path.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    target.mkdir(exist_ok=True)
    for model in MODELS:
        write_model(target / f"{model}.gguf", model)
    write_blocks(target / "blocks.json")
