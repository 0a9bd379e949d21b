// Matrix products: plain, packed and grouped by expert, forward and backward.
//
// Owns how a product is cut into tasks and blocks; tile.h owns the arithmetic, panels.h the layout. All kernels here are one
// procedure over groups, a group being one matrix product (a batch entry, or an expert with its rows). Tasks are rectangles
// of C, claimed as threads come free; depth is never divided between threads. Invariant: an element of C is one chain over
// k from 0 to K - 1, whatever the shape, the thread count or the form of B.
#include "narrow.h"
#include "panels.h"

namespace hadal {
namespace HADAL_ISA {

namespace {

typedef long long Int;

/** What a task's blocks may take of the second-level cache. */
#if defined(__AVX512F__)
constexpr Int CACHE_BYTES = 1 << 20;
#else
constexpr Int CACHE_BYTES = 384 << 10;
#endif
/** Strips of a task: its block of B is packed or fetched anew for each task, so a task must not be too flat. */
constexpr Int TASK_STRIPS = 32;
/** What a task of a few rows reads of B: enough to outweigh its start, little enough to share evenly. */
constexpr Int NARROW_TASK_BYTES = 256 << 10;
/** Up to this size each thread packs its own copy of B's columns and keeps it from task to task, in its own cache. */
constexpr Int KEPT_BYTES = CACHE_BYTES / 2;
/** Up to this size a plain B is packed for all tasks beforehand; above, each task packs block by block as it computes. */
constexpr Int SHARED_BYTES = 2 << 20;
/** Multiply-adds that are worth a task of their own. */
constexpr Int TASK_WORK = 1 << 20;
/** Where A's strips begin in a thread's scratch; B's panels come before. */
constexpr Int SCRATCH_FOR_B = 4 << 20;

enum class Form { PLAIN, TRANSPOSED, PACKED_F32, PACKED_BF16 };

/** One matrix product C [m, n] (+)= A [m, k] B [k, n]; n and the strides are common to all groups of a kernel. */
struct Group {
  Int m, k;
  const float* a;
  const void* b;
  float* c;
};

Int round_up(Int x, Int unit) { return (x + unit - 1) / unit * unit; }
Int ceil_div(Int x, Int y) { return (x + y - 1) / y; }

/** Part `index` of `parts` nearly equal parts of n. */
Int part(Int n, Int parts, Int index) { return n * index / parts; }

/** A product over groups. `Groups` has `Int count` and `Group get(Int index) const`. */
template <class Groups>
struct Product {
  const Groups& groups;
  Int n, lda, ldb, ldc;
  bool a_transposed;
  Form form;
  bool accumulate;

  // Chosen by plan(): tasks of at most so many rows and columns.
  Int task_rows, task_columns;
  /** Columns of B that a thread keeps packed in its scratch. */
  struct Kept {
    Int group = -1, begin = 0, end = 0;
  };

  /** Where the current round's copies of B lie, packed for all tasks, and the distance from one group's to the next. */
  float* packed = nullptr;
  Int packed_floats = 0;
  Int round_begin = 0, round_end = 0;
  Int column_begin = 0, column_end = 0;
  /** No group has more than NARROW_ROWS rows, and B is packed: reading it is all that takes time. */
  bool is_narrow = false;

  void run(Context& c) {
    round_end = groups.count;
    column_end = n;
    plan(c);
    if (packs_beforehand(c)) {
      run_packing(c);
    } else {
      compute(c);
    }
  }

 private:
  Int tasks_of(const Group& g) const {
    return g.m == 0 ? 0 : ceil_div(g.m, task_rows) * ceil_div(column_end - column_begin, task_columns);
  }

  Int count_tasks() const {
    Int tasks = 0;
    for (Int i = round_begin; i < round_end; i++) tasks += tasks_of(groups.get(i));
    return tasks;
  }

  /** Large tasks reuse more of what they read; several for each thread let a fast one take more than its share. */
  void plan(const Context& c) {
    Int deepest = 1, tallest = 0;
    for (Int i = 0; i < groups.count; i++) {
      const Group g = groups.get(i);
      if (g.k > deepest) deepest = g.k;
      if (g.m > tallest) tallest = g.m;
    }
    is_narrow = tallest <= NARROW_ROWS && (form == Form::PACKED_F32 || form == Form::PACKED_BF16);
    if (is_narrow) {
      task_rows = NARROW_ROWS;
      task_columns = round_up(NARROW_TASK_BYTES / (deepest * (form == Form::PACKED_F32 ? 4 : 2)), 4 * PANEL);
      const Int share = round_up(ceil_div(n, c.threads), PANEL);
      if (groups.count == 1 && task_columns > share) task_columns = share;
      return;
    }
    task_rows = TASK_STRIPS * TILE_ROWS;
    task_columns = CACHE_BYTES / 2 / 4 / min_of(deepest, BLOCK_DEPTH) / PANEL * PANEL;
    Int work = 0;
    for (Int i = 0; i < groups.count; i++) work += groups.get(i).m * n * groups.get(i).k;
    // A deep product reads so much for so little of C that two tasks cost more than a core that falls behind.
    const Int most = c.threads == 1 ? 1 : a_transposed && deepest > 4 * BLOCK_DEPTH ? c.threads : 4 * c.threads;
    const Int wanted = min_of(most, work / TASK_WORK + 1);
    while (count_tasks() < wanted) {
      const Int columns = min_of(task_columns, round_up(n, PANEL));
      Int rows = 0;
      for (Int i = 0; i < groups.count; i++) {
        const Int m = groups.get(i).m;
        const Int taken = m == 0 ? 0 : ceil_div(m, ceil_div(m, task_rows));
        rows = taken > rows ? taken : rows;
      }
      if (columns > 2 * PANEL && columns > rows) {
        task_columns = round_up(columns / 2, PANEL);
      } else if (rows > 2 * TILE_ROWS) {
        task_rows = ceil_div(rows, 2);
      } else if (columns > PANEL) {
        task_columns = round_up(columns / 2, PANEL);
      } else {
        break;
      }
    }
  }

  bool packs_beforehand(const Context& c) const {
    if (form != Form::PLAIN && form != Form::TRANSPOSED) return false;
    Int bytes = 0, depth = 0;
    bool tall = false;
    for (Int i = 0; i < groups.count; i++) {
      const Group g = groups.get(i);
      if (g.m > 0) bytes += g.k * round_up(n, PANEL) * 4;
      if (g.k > depth) depth = g.k;
      tall = tall || g.m > task_rows;
    }
    if (!tall || depth * min_of(task_columns, round_up(n, PANEL)) * 4 <= KEPT_BYTES) return false;
    return (form == Form::TRANSPOSED || bytes <= SHARED_BYTES) && depth * PANEL * 4 <= (Int)c.shared_bytes;
  }

  /** Packs the Bs once for all tasks, as many at a time as the shared memory holds. */
  void run_packing(Context& c) {
    packed = (float*)c.shared;
    const Int floats = (Int)(c.shared_bytes / sizeof(float));
    Int depth = 1;
    for (Int i = 0; i < groups.count; i++) depth = groups.get(i).k > depth ? groups.get(i).k : depth;
    const Int columns = round_up(n, PANEL);
    const Int groups_a_round = columns * depth <= floats ? floats / (columns * depth) : 1;
    const Int columns_a_round = groups_a_round > 1 ? columns : min_of(columns, floats / depth / PANEL * PANEL);
    for (Int first = 0; first < groups.count; first += groups_a_round) {
      round_begin = first;
      round_end = min_of(first + groups_a_round, groups.count);
      for (column_begin = 0; column_begin < n; column_begin += columns_a_round) {
        column_end = min_of(column_begin + columns_a_round, n);
        packed_floats = panels_a_round() * PANEL * depth;
        pack(c);
        c.barrier();
        compute(c);
        c.barrier();
      }
    }
  }

  Int panels_a_round() const { return ceil_div(column_end - column_begin, PANEL); }

  void pack(Context& c) {
    const Int panels = panels_a_round();
    const Int tasks = (round_end - round_begin) * panels;
    for (Int task = c.claim(); task < tasks; task = c.claim()) {
      const Int index = task / panels;
      const Group g = groups.get(round_begin + index);
      if (g.m == 0) continue;
      const Int panel = task % panels;
      pack_columns(g, 0, g.k, column_begin + panel * PANEL, min_of(column_begin + (panel + 1) * PANEL, n),
                   packed + index * packed_floats + panel * PANEL * g.k);
    }
  }

  /** Panels of B's columns n0 .. n1, steps k0 .. k0 + depth. */
  void pack_columns(const Group& g, Int k0, Int depth, Int n0, Int n1, float* to) const {
    if (form == Form::PLAIN) {
      pack_plain((const float*)g.b + k0 * ldb + n0, ldb, n1 - n0, depth, to);
      return;
    }
    for (Int column = n0; column < n1; column += PANEL, to += depth * PANEL) {
      if (form == Form::TRANSPOSED) {
        pack_transposed((const float*)g.b + column * ldb + k0, ldb, (int)min_of(PANEL, n1 - column), depth, to);
      } else {
        widen_panel((const unsigned short*)g.b + (column / PANEL * g.k + k0) * PANEL, depth, to);
      }
    }
  }

  void compute(Context& c) {
    Int group = round_begin;
    Int before = 0;  // tasks of the groups before `group`
    Kept kept;
    const Int panels = panels_a_round();
    const Int column_parts = ceil_div(column_end - column_begin, task_columns);
    for (Int task = c.claim();; task = c.claim()) {
      while (group < round_end && task >= before + tasks_of(groups.get(group))) before += tasks_of(groups.get(group++));
      if (group == round_end) return;
      const Group g = groups.get(group);
      const Int row_parts = ceil_div(g.m, task_rows);
      const Int row = (task - before) % row_parts;
      const Int column = (task - before) / row_parts;
      if (is_narrow) {
        const Int first = part(panels, column_parts, column);
        narrow_columns(g, first * PANEL, min_of(n, part(panels, column_parts, column + 1) * PANEL));
        continue;
      }
      rectangle(c, g, group - round_begin, kept, part(g.m, row_parts, row), part(g.m, row_parts, row + 1),
                column_begin + part(panels, column_parts, column) * PANEL,
                min_of(column_end, column_begin + part(panels, column_parts, column + 1) * PANEL));
    }
  }

  /** C's rows r0 .. r1 and columns n0 .. n1 (n0 a multiple of 32), block after block of k. */
  void rectangle(Context& c, const Group& g, Int index, Kept& kept, Int r0, Int r1, Int n0, Int n1) const {
    const Int rows = r1 - r0;
    const Int strip_rows = ceil_div(rows, ceil_div(rows, TILE_ROWS));
    const Int strips = ceil_div(rows, strip_rows);
    const Int panels = ceil_div(n1 - n0, PANEL);
    const Int blocks = ceil_div(g.k, block_depth(rows, n1 - n0));
    const Int unit = blocks == 0 ? 0 : min_of(round_up(ceil_div(g.k, blocks), 16), BLOCK_DEPTH);

    // A single strip reads each element of B once: from where it lies, if that is possible.
    const bool direct = form == Form::PLAIN && strips == 1;
    const bool copies_b = packed == nullptr && !direct && form != Form::PACKED_F32 && !(form == Form::PACKED_BF16 && strips == 1);
    const bool keeps_b = copies_b && g.k * panels * PANEL * 4 <= KEPT_BYTES;
    const bool moves_b = copies_b && !keeps_b && form == Form::PLAIN;
    const bool packs_b = copies_b && !keeps_b && !moves_b;

    // Two buffers where movers are at work: tiles read one while the mover fills the other.
    const Int a_distance = a_transposed ? unit * STRIP_WIDTH + 16 : STRIP_STRIDE;
    const Int a_floats = round_up(a_transposed ? strips * a_distance : TILE_ROWS * STRIP_STRIDE, 16);
    const Int b_distance = unit * PANEL;
    float* b_now = (float*)c.scratch;
    float* b_next = b_now + panels * b_distance;
    float* a_now = (float*)(c.scratch + SCRATCH_FOR_B);
    float* a_next = a_now + a_floats;
    if (keeps_b && (kept.group != index || kept.begin != n0 || kept.end != n1)) {
      pack_columns(g, 0, g.k, n0, n1, b_now);
      kept.group = index;
      kept.begin = n0;
      kept.end = n1;
    } else if (!keeps_b) {
      kept.group = -1;
    }
    Mover<1> next_a;
    Mover<PANEL / LANES> next_b;

    auto move_b = [&](Int k0, float* to, Int visits) {
      next_b.from = (const float*)g.b + k0 * ldb + n0;
      next_b.to = to;
      next_b.row_floats = n1 - n0;
      next_b.from_step = PANEL;
      next_b.from_row = ldb;
      next_b.to_step = b_distance;
      next_b.to_row = PANEL;
      next_b.ahead = 4 * ldb;
      next_b.start(min_of(unit, g.k - k0), visits);
    };
    // Packed columns need no copy, only to be in the cache in time.
    auto fetch_b = [&](Int k0, Int visits) {
      const bool bf16 = form == Form::PACKED_BF16;
      const Int halves = bf16 ? 2 : 1;
      const Int first = (n0 - (packed != nullptr ? column_begin : 0)) / PANEL;
      const float* matrix = packed != nullptr ? packed + index * packed_floats : (const float*)g.b;
      next_b.from = matrix + (first * g.k + k0) * PANEL / halves;
      next_b.to = nullptr;
      next_b.row_floats = min_of(unit, g.k - k0) * PANEL / halves;
      next_b.from_step = PANEL;
      next_b.from_row = g.k * PANEL / halves;
      next_b.ahead = 0;
      next_b.start(panels, visits);
    };
    auto move_columns = [&](Int k0, float* to, Int visits) {
      next_a.from = g.a + k0 * lda + r0;
      next_a.to = to;
      next_a.row_floats = rows;
      next_a.from_step = strip_rows;
      next_a.from_row = lda;
      next_a.to_step = a_distance;
      next_a.to_row = STRIP_WIDTH;
      next_a.ahead = 4 * lda;
      next_a.start(min_of(unit, g.k - k0), visits);
    };
    auto move_rows = [&](Int row, Int k0, float* to, Int visits) {
      next_a.from = g.a + row * lda + k0;
      next_a.to = to;
      next_a.row_floats = min_of(unit, g.k - k0);
      next_a.from_step = LANES;
      next_a.from_row = lda;
      next_a.to_step = LANES;
      next_a.to_row = STRIP_STRIDE;
      next_a.ahead = strip_rows * lda;
      next_a.start(min_of(strip_rows, r1 - row), visits);
    };

    if (moves_b) move_b(0, b_now, 0);
    if (a_transposed) {
      move_columns(0, a_now, 0);
    } else {
      move_rows(r0, 0, a_now, 0);
    }
    next_b.finish();
    next_a.finish();

    for (Int k0 = 0; k0 == 0 || k0 < g.k; k0 += unit) {
      const Int depth = min_of(unit, g.k - k0);
      const bool last = k0 + depth >= g.k;
      const Int visits = panels * ceil_div(depth, CHUNK);
      if (moves_b && !last) move_b(k0 + depth, b_next, strips * visits);
      if (!copies_b && !direct && strips > 1 && !last) fetch_b(k0 + depth, strips * visits);
      if (a_transposed && !last) move_columns(k0 + depth, a_next, strips * visits);
      if (packs_b) pack_columns(g, k0, depth, n0, n1, b_now);

      TileArgs t;
      t.depth = depth;
      t.accumulate = accumulate || k0 > 0;
      t.ldc = ldc;
      t.next_a = &next_a;
      t.next_b = &next_b;
      for (Int s = 0; s < strips; s++) {
        const Int row = r0 + s * strip_rows;
        const int height = (int)min_of(strip_rows, r1 - row);
        if (a_transposed) {
          t.a = a_now + s * a_distance;
        } else {
          t.a = a_now;
          if (s + 1 < strips) {
            move_rows(row + height, k0, a_next, visits);
          } else if (!last) {
            move_rows(r0, k0 + depth, a_next, visits);
          }
        }
        const TileFunction function = tile_for(height, form == Form::PACKED_BF16 && !copies_b);
        for (Int p = 0; p < panels; p++) {
          const Int column = n0 + p * PANEL;
          t.columns = (int)min_of(PANEL, n1 - column);
          t.c = g.c + row * ldc + column;
          t.b_step = PANEL;
          if (copies_b) {
            t.b = b_now + (keeps_b ? (p * g.k + k0) * PANEL : p * (moves_b ? b_distance : depth * PANEL));
          } else if (packed != nullptr) {
            t.b = packed + index * packed_floats + ((column - column_begin) / PANEL * g.k + k0) * PANEL;
          } else if (direct && t.columns == PANEL) {
            t.b = (const float*)g.b + k0 * ldb + column;
            t.b_step = ldb;
          } else if (direct) {
            pack_plain((const float*)g.b + k0 * ldb + column, ldb, t.columns, depth, b_now);
            t.b = b_now;
          } else {
            t.b = (const char*)g.b + (column / PANEL * g.k + k0) * PANEL * (form == Form::PACKED_BF16 ? 2 : 4);
          }
          function(t);
        }
        if (!a_transposed) {
          next_a.finish();
          swap(a_now, a_next);
        }
      }
      if (last) break;
      next_b.finish();
      if (moves_b) swap(b_now, b_next);
      if (a_transposed) {
        next_a.finish();
        swap(a_now, a_next);
      }
    }
  }

  /** All rows of C, columns n0 .. n1 (n0 a multiple of 32). */
  void narrow_columns(const Group& g, Int n0, Int n1) const {
    const bool bf16 = form == Form::PACKED_BF16;
    NarrowArgs t;
    t.depth = g.k;
    t.x = g.a;
    t.ldx = lda;
    t.panel_bytes = g.k * PANEL * (bf16 ? 2 : 4);
    t.b = (const char*)g.b + n0 / PANEL * t.panel_bytes;
    t.c = g.c + n0;
    t.ldc = ldc;
    t.columns = n1 - n0;
    t.accumulate = accumulate;
    if (bf16) {
      narrow_product<Element::BF16>((int)g.m, t);
    } else {
      narrow_product<Element::F32>((int)g.m, t);
    }
  }

  TileFunction tile_for(int rows, bool bf16) const {
    if (a_transposed) return tile_of<Strip::COLUMNS, Element::F32>(rows);
    return bf16 ? tile_of<Strip::ROWS, Element::BF16>(rows) : tile_of<Strip::ROWS, Element::F32>(rows);
  }

  static void swap(float*& a, float*& b) {
    float* c = a;
    a = b;
    b = c;
  }

  /** Depth at which the blocks of this and of the next round, and C, fit the cache together. */
  Int block_depth(Int rows, Int columns) const {
    if (!a_transposed) return BLOCK_DEPTH;
    const Int room = CACHE_BYTES * 3 / 2 - rows * columns * 4;
    const Int depth = room / ((rows + columns) * 4 * 2) / 16 * 16;
    return depth < 128 ? 128 : min_of(depth, BLOCK_DEPTH);
  }
};

/** Entries of a batch, at fixed distances. */
struct Batch {
  Int count;
  Int m, k;
  const float* a;
  const char* b;
  float* c;
  Int stride_a, stride_b_bytes, stride_c;

  Group get(Int i) const { return {m, k, a + i * stride_a, b + i * stride_b_bytes, c + i * stride_c}; }
};

/** offsets[e], held within [0, rows]: what another kernel wrote wrongly must not become an address. */
Int offset_at(const int* offsets, Int e, Int rows) {
  Int x = offsets[e];
  return x < 0 ? 0 : x > rows ? rows : x;
}

/** The rows of each expert times its matrix. */
struct ExpertRows {
  Int count;
  const int* offsets;
  Int rows, k, n;
  const float* a;
  const char* b;
  Int b_bytes;
  float* c;

  Group get(Int e) const {
    const Int begin = offset_at(offsets, e, rows), end = offset_at(offsets, e + 1, rows);
    return {end > begin ? end - begin : 0, k, a + begin * k, b + e * b_bytes, c + begin * n};
  }
};

/** For each expert, its rows of dY transposed times its rows of X. */
struct ExpertWeights {
  Int count;
  const int* offsets;
  Int rows, m, n;
  const float* dy;
  const float* x;
  float* dw;

  Group get(Int e) const {
    const Int begin = offset_at(offsets, e, rows), end = offset_at(offsets, e + 1, rows);
    // No rows, nothing to add.
    if (end <= begin) return {0, 0, dy, x, dw};
    return {m, end - begin, dy + begin * m, x + begin * n, dw + e * m * n};
  }
};

template <class Groups>
void multiply(Context& c, const Groups& groups, Int n, Int lda, Int ldb, Int ldc, bool a_transposed, Form form, bool accumulate) {
  Product<Groups> product{groups, n, lda, ldb, ldc, a_transposed, form, accumulate, 0, 0};
  product.run(c);
}

Form packed_form(bool bf16) { return bf16 ? Form::PACKED_BF16 : Form::PACKED_F32; }
Int packed_bytes(Int n, Int k, bool bf16) { return round_up(n, PANEL) * k * (bf16 ? 2 : 4); }

}  // namespace

// A:t B:t C:T M:i N:i K:i lda:i ldb:i ldc:i transA:i transB:i accumulate:i batch:i strideA:i strideB:i strideC:i
void matmul(Context& c, const Arg* a) {
  Batch batch{a[12].i, a[3].i, a[5].i, (const float*)a[0].p, (const char*)a[1].p, (float*)a[2].p, a[13].i, a[14].i * 4, a[15].i};
  multiply(c, batch, a[4].i, a[6].i, a[7].i, a[8].i, a[9].i != 0, a[10].i ? Form::TRANSPOSED : Form::PLAIN, a[11].i != 0);
}

// X:t packed:t Y:T M:i N:i K:i ldx:i ldy:i accumulate:i bf16:i
void matmul_packed(Context& c, const Arg* a) {
  Batch one{1, a[3].i, a[5].i, (const float*)a[0].p, (const char*)a[1].p, (float*)a[2].p, 0, 0, 0};
  multiply(c, one, a[4].i, a[6].i, 0, a[7].i, false, packed_form(a[9].i != 0), a[8].i != 0);
}

// A:t B:t C:T offsets:t E:i N:i K:i R:i transB:i accumulate:i
void grouped_matmul(Context& c, const Arg* a) {
  const Int n = a[5].i, k = a[6].i;
  ExpertRows experts{a[4].i, (const int*)a[3].p, a[7].i, k, n, (const float*)a[0].p, (const char*)a[1].p, n * k * 4, (float*)a[2].p};
  const bool transposed = a[8].i != 0;
  multiply(c, experts, n, k, transposed ? k : n, n, false, transposed ? Form::TRANSPOSED : Form::PLAIN, a[9].i != 0);
}

// dY:t X:t dW:T offsets:t E:i N:i K:i R:i
void grouped_matmul_weights(Context& c, const Arg* a) {
  const Int n = a[5].i, k = a[6].i;
  ExpertWeights experts{a[4].i, (const int*)a[3].p, a[7].i, n, k, (const float*)a[0].p, (const float*)a[1].p, (float*)a[2].p};
  multiply(c, experts, k, n, k, k, true, Form::PLAIN, true);
}

// X:t packed:t Y:T offsets:t E:i N:i K:i R:i bf16:i
void grouped_matmul_packed(Context& c, const Arg* a) {
  const Int n = a[5].i, k = a[6].i;
  const bool bf16 = a[8].i != 0;
  ExpertRows experts{a[4].i, (const int*)a[3].p, a[7].i, k, n, (const float*)a[0].p, (const char*)a[1].p, packed_bytes(n, k, bf16), (float*)a[2].p};
  multiply(c, experts, n, k, 0, n, false, packed_form(bf16), false);
}

// W:t? W16:h? packed:T N:i K:i ldw:i bf16:i
void pack_weights(Context& c, const Arg* a) {
  const float* w = (const float*)a[0].p;
  const unsigned short* w16 = (const unsigned short*)a[1].p;
  const Int n = a[3].i, k = a[4].i, ldw = a[5].i;
  const bool narrow = a[6].i != 0;
  const Int panels = ceil_div(n, PANEL);
  // Scratch: one block of a panel, and its columns widened from bfloat16.
  float* panel = (float*)c.scratch;
  float* widened = panel + PANEL * BLOCK_DEPTH;
  for (Int p = c.claim(); p < panels; p = c.claim()) {
    const int columns = (int)min_of(PANEL, n - p * PANEL);
    for (Int k0 = 0; k0 < k; k0 += BLOCK_DEPTH) {
      const Int depth = min_of(BLOCK_DEPTH, k - k0);
      const Int at = (p * k + k0) * PANEL;
      const Int from = p * PANEL * ldw + k0;
      float* to = narrow ? panel : (float*)a[2].p + at;
      if (w16 != nullptr) {
        for (int j = 0; j < columns; j++) {
          for (Int i = 0; i < depth; i++) widened[j * BLOCK_DEPTH + i] = from_bf16(w16[from + j * ldw + i]);
        }
        pack_transposed(widened, BLOCK_DEPTH, columns, depth, to);
      } else {
        pack_transposed(w + from, ldw, columns, depth, to);
      }
      if (narrow) narrow_panel(panel, depth, (unsigned short*)a[2].p + at);
    }
  }
}

}  // namespace HADAL_ISA
}  // namespace hadal
