// A quarter of the base: the same data and form, half as wide. `npx hadal train r1/student-base` repeats it.

import type { Recipe } from '@hadal/training/recipe';
import { recipe as base } from './base.ts';

export const recipe: Recipe = {
  ...base,
  name: 'r1-student-base',
  seed: 'r1-student-base-1',
  config: {
    ...base.config,
    ...{ hidden_size: 128, intermediate_size: 256, moe_intermediate_size: 64, kv_lora_rank: 64 },
    ...{ qk_nope_head_dim: 24, qk_rope_head_dim: 16, qk_head_dim: 40, head_dim: 16, v_head_dim: 32 },
  },
};
