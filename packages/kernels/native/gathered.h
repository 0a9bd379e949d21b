// Keys gathered from where a list says: what sparse attention and the indexer share.
//
// Owns the reading of the tables that say which tokens a query follows and in which row of a store a window of tokens
// is kept, and the packing of rows that lie apart. A window is the run of `ratio` tokens that one row stands for; it is
// seen from its last token on. Invariant: no table leads outside the store.
#pragma once

#include "attention.h"

namespace hadal {
namespace HADAL_ISA {

/** Queries [q_start, q_start + q_count) are the last of `key_count` tokens; blocks of 64 tokens from `first_block` on. */
struct Span {
  Int q_start, q_count, key_count, first_block;
  Int position(Int query) const { return key_count - q_count + query; }
};

/** Sequence s, or an empty one where the table contradicts itself. */
HADAL_INLINE Span span_at(const int* sequences, Int s, Int NQ, Int block_count) {
  const int* row = sequences + 4 * s;
  const Span span = {row[0], row[1], row[2], row[3]};
  const bool is_whole = span.q_start >= 0 && span.q_count >= 0 && span.key_count >= span.q_count &&
                        span.first_block >= 0 && span.q_start + span.q_count <= NQ &&
                        span.first_block + blocks_of(span.key_count, KEYS) <= block_count;
  return is_whole ? span : Span{0, 0, 0, 0};
}

/** A store with one row for every `ratio` tokens, of which `starts` says where each block of 64 tokens begins. */
struct Windows {
  const int* starts;
  Int rows, ratio;

  /** Whole windows among the first `tokens` tokens. */
  Int among(Int tokens) const { return tokens / ratio; }
  /** The row of a window, which lies with its last token; -1 where that is outside the store. */
  Int row(const Span& s, Int window) const {
    const Int last = (window + 1) * ratio - 1;
    const Int row = starts[s.first_block + last / KEYS] + last % KEYS / (ratio < KEYS ? ratio : KEYS);
    return row >= 0 && row < rows ? row : -1;
  }
};

/** to[d][key] = rows[key][d] for a block of at most 64 keys, zeros from `count` on. */
HADAL_INLINE void pack_gathered(const float* const* rows, Int count, Int width, float* to) {
  for (Int key = 0; key < count; key += LANES) {
    const Int lanes = min_of(LANES, count - key);
    for (Int d = 0; d < width; d += LANES) {
      V x[LANES];
      const Int columns = min_of(LANES, width - d);
      for (int i = 0; i < LANES; i++) {
        x[i] = i >= lanes ? V{} : columns == LANES ? load(rows[key + i] + d) : load(rows[key + i] + d, (int)columns);
      }
      transpose(x);
      for (Int i = 0; i < columns; i++) store(to + (d + i) * KEYS + key, x[i]);
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
