// The one list of native kernels: a row is a kernel's name and the arguments a command gives it.
//
// The build script writes the native tables from it (`rmsNorm` here is `rms_norm` there), and `Commands` takes its opcodes
// from it, so the two sides cannot disagree. It does not know where kernels are defined or what they mean.
//
// An argument is `name:kind`. Kinds: t float32 or int32 tensor, h bfloat16 tensor, b bytes (all read only); T, H, B the
// same, written; i integer; f float. A `?` after a tensor's kind: may be absent (null in C++).

export const operations = {
  // matmul.ts
  matmul:
    'A:t B:t C:T M:i N:i K:i lda:i ldb:i ldc:i transA:i transB:i accumulate:i batch:i strideA:i strideB:i strideC:i',
  packWeights: 'W:t? W16:h? packed:T N:i K:i ldw:i bf16:i',
  matmulPacked: 'X:t packed:t Y:T M:i N:i K:i ldx:i ldy:i accumulate:i bf16:i',
  groupedMatmul: 'A:t B:t C:T offsets:t E:i N:i K:i R:i transB:i accumulate:i',
  groupedMatmulWeights: 'dY:t X:t dW:T offsets:t E:i N:i K:i R:i',
  groupedMatmulPacked: 'X:t packed:t Y:T offsets:t E:i N:i K:i R:i bf16:i',
  // quantized.ts
  quantizeWeights: 'W:t? W16:h? packed:T N:i K:i ldw:i int4:i',
  matmulQuantized: 'X:t packed:t Y:T M:i N:i K:i ldx:i ldy:i int4:i gated:i',
  groupedMatmulQuantized: 'X:t packed:t Y:T offsets:t E:i N:i K:i R:i int4:i gated:i',
  // elementwise.ts
  fill: 'x:T n:i value:f',
  copyColumns: 'src:t dst:T rows:i cols:i srcStride:i dstStride:i accumulate:i',
  add: 'a:t b:t y:T n:i',
  scale: 'x:t y:T n:i factor:f',
  axpy: 'x:t y:T n:i alpha:f',
  toBf16: 'x:t y:H n:i',
  fromBf16: 'x:h y:T n:i',
  sum: 'x:t out:T n:i',
  sumSquares: 'x:t out:T n:i',
  // rows.ts
  storeRows: 'x:t rows:t into:T? into16:H? N:i R:i D:i',
  // decode-rows.ts
  decodeRows: 'W:b scales:b? y:T rows:i columns:i stored:i scale:i blockRows:i blockColumns:i rowInBlock:i',
  // decode-blocks.ts
  decodeBlocks: 'W:b y:T rows:i columns:i format:i',
  // packed-rows.ts
  packedRows: 'packed:t ids:t y:T N:i V:i D:i form:i',
  // embedding.ts
  embedding: 'table:t ids:t y:T N:i V:i D:i',
  embeddingBackward: 'ids:t dy:t dTable:T N:i V:i D:i',
  // cross-entropy.ts
  crossEntropy: 'logits:t targets:t weights:t loss:T dLogits:T N:i V:i',
  crossEntropyForward: 'logits:t targets:t loss:T N:i V:i',
  // divergence.ts
  divergence: 'logits:t ids:t logprobs:t weights:t loss:T dLogits:T N:i V:i K:i kind:i tail:i beta:f temperature:f',
  divergenceForward: 'logits:t ids:t logprobs:t loss:T N:i V:i K:i kind:i tail:i beta:f temperature:f',
  // routing.ts
  route:
    'logits:t bias:t ids:T weights:T counts:T N:i E:i K:i groups:i topkGroups:i scoring:i maxGroupScore:i normalize:i scale:f',
  routeBackward: 'logits:t ids:t dWeights:t dLogits:T N:i E:i K:i scoring:i normalize:i scale:f',
  routeByToken: 'logits:t table:t tokens:t ids:T weights:T counts:T N:i V:i E:i K:i scoring:i normalize:i scale:f',
  groupByExpert: 'ids:t order:T slots:T offsets:T N:i K:i E:i',
  gatherRows: 'x:t order:t xg:T N:i K:i D:i',
  gatherRowsBackward: 'dxg:t slots:t dx:T N:i K:i D:i',
  combineRows: 'yg:t slots:t weights:t y:T N:i K:i D:i accumulate:i',
  combineRowsBackward: 'dy:t yg:t slots:t weights:t dyg:T dWeights:T N:i K:i D:i',
  // masking.ts
  maskLogits: 'logits:T masks:t which:t N:i V:i M:i',
  // sampling.ts
  argmax: 'logits:t ids:T N:i V:i',
  sample: 'logits:t temperature:t minP:t topK:t topP:t uniform:t ids:T logprobs:T N:i V:i',
  adjustLogits: 'logits:T row:t token:t delta:t N:i V:i count:i',
  topLogprobs: 'logits:t ids:T values:T N:i V:i top:i',
  // optimizer.ts
  adamw: 'p:T g:t m:T v:T n:i beta1:f beta2:f decay:f stepSize:f rootCorrection:f eps:f gradScale:f',
  // norm.ts
  rmsNorm: 'x:t w:t y:T N:i D:i xStride:i yStride:i eps:f',
  rmsNormBackward: 'x:t w:t dy:t dx:T dw:T N:i D:i xStride:i dyStride:i dxStride:i eps:f accumulateDx:i',
  layerNorm: 'x:t w:t b:t y:T N:i D:i eps:f',
  // rope.ts
  rope: 'x:t y:T cos:t sin:t positions:t N:i H:i half:i xRowStride:i xHeadStride:i yRowStride:i yHeadStride:i isInterleaved:i isInverse:i maxPositions:i',
  // softmax.ts
  softmax: 'x:t y:T rows:i cols:i',
  softmaxBackward: 'y:t dy:t dx:T rows:i cols:i',
  // swiglu.ts
  swiglu: 'gateUp:t y:T N:i F:i',
  clampedSwiglu: 'gateUp:t y:T N:i F:i limit:f',
  swigluBackward: 'gateUp:t dy:t dGateUp:T N:i F:i',
  // mla.ts
  mlaAssemble: 'kv:t kPe:t k:T v:T N:i H:i nope:i rope:i vDim:i kPeStride:i',
  mlaAssembleBackward: 'dk:t dv:t dkv:T dkPe:T N:i H:i nope:i rope:i vDim:i kPeStride:i',
  // attention.ts
  attention:
    'q:t k:t? v:t? k16:h? v16:h? out:T lse:T sequences:t blockStarts:t S:i H:i Hkv:i dk:i dv:i qStride:i kStride:i vStride:i outStride:i NQ:i keyRows:i blockCount:i scale:f',
  attentionBackward:
    'q:t k:t v:t out:t dOut:t lse:t dq:T dk:T dv:T sequences:t blockStarts:t S:i H:i Hkv:i dk:i dv:i qStride:i kStride:i vStride:i outStride:i NQ:i keyRows:i blockCount:i scale:f',
  // sparse-attention.ts
  sparseAttention:
    'q:t nearK:t? nearV:t? farK:t? farV:t? picks:t? sinks:t? out:T sequences:t nearStarts:t? farStarts:t? S:i NQ:i H:i Hkv:i dk:i dv:i qStride:i kStride:i vStride:i outStride:i nearRows:i farRows:i blockCount:i window:i K:i ratio:i scale:f',
  // indexer.ts
  indexScores:
    'q:t weights:t keys:t scores:T sequences:t starts:t S:i NQ:i H:i D:i keyRows:i blockCount:i ratio:i enough:i rows:i firstRow:i stride:i factor:f',
  selectTop: 'scores:t? picks:T sequences:t S:i NQ:i firstRow:i rows:i stride:i ratio:i K:i',
  // compressor.ts
  compress:
    'kv:t gate:t bias:t state:T pooled:T? sequences:t starts:t S:i NQ:i W:i series:i ratio:i stateRows:i blockCount:i pooledRows:i',
  // hyper-connections.ts
  hyperWeights: 'mixes:t scale:t base:t pre:T post:T? comb:T? N:i streams:i iterations:i eps:f',
  hyperCollapse: 'x:t pre:t y:T N:i streams:i D:i',
  hyperExpand: 'x:t added:t post:t comb:t y:T N:i streams:i D:i',
  // machine.ts
  measureArithmetic: 'rounds:i out:T',
  measureIntegers: 'rounds:i out:T',
  measureReading: 'x:t n:i out:T',
} as const satisfies Record<string, string>;

export type OpName = keyof typeof operations;
