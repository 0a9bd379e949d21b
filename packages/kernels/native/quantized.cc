// Products with quantized weights: plain, and grouped by expert.
//
// Owns how a product is cut into tasks. quantized_tile.h owns the arithmetic and the layouts, quantize.h the rounding; the
// contract and the twins are in quantized.ts. A product first quantizes its rows, strip by strip, into memory that all
// threads see, then takes strips through panels. Invariant: an element depends on its row and its column of weights alone.
#include "panels.h"
#include "quantize.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

typedef long long Int;

/** What a task's panels may take of the second-level cache, where many strips pass through them. */
#if defined(__AVX512F__)
constexpr Int PANELS_BYTES = 512 << 10;
#else
constexpr Int PANELS_BYTES = 256 << 10;
#endif
/** What a task reads when there is one strip: enough to outweigh its start, little enough to share evenly. */
constexpr Int NARROW_BYTES = 64 << 10;

Int ceil_div(Int x, Int y) { return (x + y - 1) / y; }
Int smaller(Int a, Int b) { return a < b ? a : b; }

/** Part `index` of `parts` nearly equal parts of n. */
Int part(Int n, Int parts, Int index) { return n * index / parts; }

/** Rows begin .. end of X and Y, and the matrix they are multiplied with. */
struct Group {
  Int begin, end;
  const char* w;

  Int most_rows;  // of a strip

  Int strips() const { return ceil_div(end - begin, most_rows); }
  /** Rows of every strip but perhaps the last. */
  Int strip_rows() const { return ceil_div(end - begin, strips()); }
};

/** All rows, one matrix; or the rows of each expert and its matrix. */
struct Groups {
  Int count, rows;
  const int* offsets;  // null: one group
  const char* w;
  Int w_bytes;

  /** Group i, as far as it lies within rows w0 .. w1. Offsets from another kernel must not become an address. */
  Group get(Int i, Int w0, Int w1, Int most_rows) const {
    Int begin = offsets == nullptr ? 0 : offsets[i], end = offsets == nullptr ? rows : offsets[i + 1];
    begin = begin < w0 ? w0 : begin;
    end = end > w1 ? w1 : end;
    return {begin, end < begin ? begin : end, w + i * w_bytes, most_rows};
  }
};

/** What is stored: the product, or, of two halves of its columns, silu(first) * second. */
enum class Store { PLAIN, GATED };

/** silu(gate) * up for `rows` rows, each 32 columns of gate and the same of up: the operations of swiglu.cc. */
void store_gated(const float (*halves)[2 * PANEL], int rows, int columns, float* y, Int ldy) {
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < columns; j += LANES) {
      const V gate = load(halves[i] + j);
      store(y + i * ldy + j, gate * sigmoid(gate) * load(halves[i] + PANEL + j), lanes_within(columns, j / LANES));
    }
  }
}

template <Quantized Q>
struct Product {
  const Groups& groups;
  const float* x;
  float* y;
  Int n, k, ldx, ldy;  // n: columns of Y
  Store kind;

  // The rows of this round, and where their strips lie.
  Int round_begin = 0, round_end = 0;
  char* strips = nullptr;
  // Chosen by plan(): a task is at most so many panels and strips.
  Int task_panels = 1, task_strips = 1;

  void run(Context& c) {
    const Int row_bytes = RowLayout<Q>::row_bytes(k);
    const Int room = row_bytes == 0 ? groups.rows : (Int)c.shared_bytes / row_bytes;
    const Int rows_a_round = room < 1 ? 1 : room;
    strips = c.shared;
    for (round_begin = 0; round_begin < groups.rows; round_begin = round_end) {
      round_end = smaller(groups.rows, round_begin + rows_a_round);
      if (round_begin > 0) c.barrier();
      quantize(c);
      c.barrier();
      plan(c);
      multiply(c);
    }
  }

 private:
  Group group(Int i) const { return groups.get(i, round_begin, round_end, rows_of(Q)); }
  char* strip(Int row) const { return strips + (row - round_begin) * RowLayout<Q>::row_bytes(k); }
  Int panels() const { return ceil_div(n, PANEL); }

  /** Calls work(group, index) for every claimed task; `tasks_of(group)` says how many a group has. */
  template <class TasksOf, class Work>
  void for_tasks(Context& c, TasksOf tasks_of, Work work) const {
    Int index = 0, before = 0;
    Group g = {};
    Int tasks = 0;
    auto enter = [&] {
      if (index == groups.count) return;
      g = group(index);
      tasks = g.end > g.begin ? tasks_of(g) : 0;
    };
    enter();
    for (Int task = c.claim();; task = c.claim()) {
      while (index < groups.count && task >= before + tasks) {
        before += tasks;
        index++;
        enter();
      }
      if (index == groups.count) return;
      work(g, task - before);
    }
  }

  void quantize(Context& c) const {
    for_tasks(c, [](const Group& g) { return g.strips(); },
              [&](const Group& g, Int s) {
                const Int begin = g.begin + s * g.strip_rows();
                const Int rows = smaller(g.strip_rows(), g.end - begin);
                quantize_strip<Q>(x + begin * ldx, ldx, (int)rows, k, strip(begin));
              });
  }

  void plan(const Context& c) {
    Int tallest = 0;
    for (Int i = 0; i < groups.count; i++) {
      const Int strips = group(i).strips();
      tallest = strips > tallest ? strips : tallest;
    }
    const Int bytes = panel_bytes(Q, k) * (kind == Store::GATED ? 2 : 1) + 1;
    task_strips = tallest;
    task_panels = 1 + (tallest <= 1 ? NARROW_BYTES : PANELS_BYTES) / bytes;
    const Int share = ceil_div(panels(), c.threads);
    if (groups.count == 1 && tallest <= 1) task_panels = smaller(task_panels, share);
    if (c.threads == 1 || tallest <= 1) return;
    // Several tasks for each thread let a fast one take more than its share.
    while (count_tasks() < 4 * c.threads) {
      if (task_panels > 1 && task_panels * PANEL > task_strips * rows_of(Q)) {
        task_panels = ceil_div(task_panels, 2);
      } else if (task_strips > 1) {
        task_strips = ceil_div(task_strips, 2);
      } else if (task_panels > 1) {
        task_panels = ceil_div(task_panels, 2);
      } else {
        return;
      }
    }
  }

  Int tasks_of(const Group& g) const { return ceil_div(panels(), task_panels) * ceil_div(g.strips(), task_strips); }

  Int count_tasks() const {
    Int tasks = 0;
    for (Int i = 0; i < groups.count; i++) {
      const Group g = group(i);
      if (g.end > g.begin) tasks += tasks_of(g);
    }
    return tasks;
  }

  void multiply(Context& c) const {
    for_tasks(c, [&](const Group& g) { return tasks_of(g); },
              [&](const Group& g, Int task) {
                const Int row_parts = ceil_div(g.strips(), task_strips), column_parts = ceil_div(panels(), task_panels);
                const Int r = task % row_parts, p = task / row_parts;
                rectangle(g, part(g.strips(), row_parts, r), part(g.strips(), row_parts, r + 1), part(panels(), column_parts, p),
                          part(panels(), column_parts, p + 1));
              });
  }

  /** Strips s0 .. s1 of the group times panels p0 .. p1: a strip stays in the first-level cache, the panels in the second. */
  void rectangle(const Group& g, Int s0, Int s1, Int p0, Int p1) const {
    const Int bytes = panel_bytes(Q, k);
    for (Int s = s0; s < s1; s++) {
      const Int row = g.begin + s * g.strip_rows();
      const int rows = (int)smaller(g.strip_rows(), g.end - row);
      const QuantizedTile tile = quantized_tile_of<Q>(rows);
      QuantizedTileArgs t;
      t.blocks = blocks_of(k);
      t.x = strip(row);
      for (Int p = p0; p < p1; p++) {
        float* const to = y + row * ldy + p * PANEL;
        t.w = g.w + p * bytes;
        if (kind == Store::PLAIN) {
          // A tile of two panels takes an odd last one twice and stores it once.
          const bool is_pair = panels_at_once(rows) == 2 && p + 1 < p1;
          t.w_step = is_pair ? bytes : 0;
          t.c = to;
          t.ldc = ldy;
          t.columns = (int)smaller(is_pair ? 2 * PANEL : PANEL, n - p * PANEL);
          tile(t);
          p += is_pair;
          continue;
        }
        alignas(64) float halves[rows_of(Q)][2 * PANEL];
        t.w_step = panels() * bytes;
        t.c = halves[0];
        t.ldc = 2 * PANEL;
        t.columns = 2 * PANEL;
        tile(t);
        if (panels_at_once(rows) == 1) {
          t.w += t.w_step;
          t.c += PANEL;
          tile(t);
        }
        store_gated(halves, rows, (int)smaller(PANEL, n - p * PANEL), to, ldy);
      }
    }
  }
};

template <Quantized Q>
void multiply(Context& c, const Groups& groups, const Arg& x, const Arg& y, Int n, Int k, Int ldx, Int ldy, Store kind) {
  Product<Q>{groups, (const float*)x.p, (float*)y.p, n, k, ldx, ldy, kind}.run(c);
}

Quantized form(const Arg& a) { return a.i ? Quantized::INT4 : Quantized::INT8; }

}  // namespace

// W:t? W16:h? packed:T N:i K:i ldw:i int4:i
void quantize_weights(Context& c, const Arg* a) {
  const float* w = (const float*)a[0].p;
  const unsigned short* w16 = (const unsigned short*)a[1].p;
  const Int n = a[3].i, k = a[4].i, ldw = a[5].i;
  const Quantized q = form(a[6]);
  // Scratch: the columns of a segment widened from bfloat16, then the segment k by k.
  float* widened = (float*)c.scratch;
  float* panel = widened + PANEL * SEGMENT;
  for (Int p = c.claim(); p < ceil_div(n, PANEL); p = c.claim()) {
    const int columns = (int)smaller(PANEL, n - p * PANEL);
    char* to = (char*)a[2].p + p * panel_bytes(q, k);
    for (Int k0 = 0; k0 < k; k0 += SEGMENT) {
      const int depth = (int)smaller(SEGMENT, k - k0), blocks = (int)blocks_of(depth);
      const Int from = p * PANEL * ldw + k0;
      if (w16 != nullptr) {
        for (int j = 0; j < columns; j++) {
          for (int i = 0; i < depth; i++) widened[j * SEGMENT + i] = from_bf16(w16[from + j * ldw + i]);
        }
        pack_transposed(widened, SEGMENT, columns, depth, panel);
      } else {
        pack_transposed(w + from, ldw, columns, depth, panel);
      }
      __builtin_memset(panel + depth * PANEL, 0, (blocks * BLOCK - depth) * PANEL * sizeof(float));
      quantize_segment(q, panel, blocks, to);
      to += header_bytes(q) + blocks * block_bytes(q);
    }
  }
}

// X:t packed:t Y:T M:i N:i K:i ldx:i ldy:i int4:i gated:i
void matmul_quantized(Context& c, const Arg* a) {
  const Groups one{1, a[3].i, nullptr, (const char*)a[1].p, 0};
  const Store kind = a[9].i ? Store::GATED : Store::PLAIN;
  const Int n = kind == Store::GATED ? a[4].i / 2 : a[4].i;
  if (form(a[8]) == Quantized::INT8) {
    multiply<Quantized::INT8>(c, one, a[0], a[2], n, a[5].i, a[6].i, a[7].i, kind);
  } else {
    multiply<Quantized::INT4>(c, one, a[0], a[2], n, a[5].i, a[6].i, a[7].i, kind);
  }
}

// X:t packed:t Y:T offsets:t E:i N:i K:i R:i int4:i gated:i
void grouped_matmul_quantized(Context& c, const Arg* a) {
  const Quantized q = form(a[8]);
  const Store kind = a[9].i ? Store::GATED : Store::PLAIN;
  const Int k = a[6].i, n = kind == Store::GATED ? a[5].i / 2 : a[5].i;
  const Groups experts{a[4].i, a[7].i, (const int*)a[3].p, (const char*)a[1].p, ceil_div(a[5].i, PANEL) * panel_bytes(q, k)};
  if (q == Quantized::INT8) {
    multiply<Quantized::INT8>(c, experts, a[0], a[2], n, k, k, n, kind);
  } else {
    multiply<Quantized::INT4>(c, experts, a[0], a[2], n, k, k, n, kind);
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
