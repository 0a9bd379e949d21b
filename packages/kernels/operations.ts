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
  matmulQuantized: 'X:t packed:t Y:T M:i N:i K:i ldx:i ldy:i int4:i',
  groupedMatmulQuantized: 'X:t packed:t Y:T offsets:t E:i N:i K:i R:i int4:i',
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
  storeRows: 'x:t rows:t into:T N:i R:i D:i',
  // embedding.ts
  embedding: 'table:t ids:t y:T N:i V:i D:i',
  embeddingBackward: 'ids:t dy:t dTable:T N:i V:i D:i',
  // cross-entropy.ts
  crossEntropy: 'logits:t targets:t weights:t loss:T dLogits:T N:i V:i',
  crossEntropyForward: 'logits:t targets:t loss:T N:i V:i',
  // routing.ts
  route:
    'logits:t bias:t ids:T weights:T counts:T N:i E:i K:i groups:i topkGroups:i softmax:i maxGroupScore:i normalize:i scale:f',
  routeBackward: 'logits:t ids:t dWeights:t dLogits:T N:i E:i K:i softmax:i normalize:i scale:f',
  groupByExpert: 'ids:t order:T slots:T offsets:T N:i K:i E:i',
  gatherRows: 'x:t order:t xg:T N:i K:i D:i',
  gatherRowsBackward: 'dxg:t slots:t dx:T N:i K:i D:i',
  combineRows: 'yg:t slots:t weights:t y:T N:i K:i D:i accumulate:i',
  combineRowsBackward: 'dy:t yg:t slots:t weights:t dyg:T dWeights:T N:i K:i D:i',
  // masking.ts
  maskLogits: 'logits:T masks:t which:t N:i V:i M:i',
  // sampling.ts
  argmax: 'logits:t ids:T N:i V:i',
  sample: 'logits:t temperature:t topP:t uniform:t ids:T logprobs:T N:i V:i',
  topLogprobs: 'logits:t ids:T values:T N:i V:i top:i',
  // optimizer.ts
  adamw: 'p:T g:t m:T v:T n:i beta1:f beta2:f decay:f stepSize:f rootCorrection:f eps:f gradScale:f',
  // norm.ts
  rmsNorm: 'x:t w:t y:T N:i D:i xStride:i yStride:i eps:f',
  rmsNormBackward: 'x:t w:t dy:t dx:T dw:T N:i D:i xStride:i dyStride:i dxStride:i eps:f accumulateDx:i',
  // rope.ts
  rope: 'x:t y:T cos:t sin:t positions:t N:i H:i half:i xRowStride:i xHeadStride:i yRowStride:i yHeadStride:i isInterleaved:i isInverse:i maxPositions:i',
  // softmax.ts
  softmax: 'x:t y:T rows:i cols:i',
  softmaxBackward: 'y:t dy:t dx:T rows:i cols:i',
  // swiglu.ts
  swiglu: 'gateUp:t y:T N:i F:i',
  swigluBackward: 'gateUp:t dy:t dGateUp:T N:i F:i',
  // mla.ts
  mlaAssemble: 'kv:t kPe:t k:T v:T N:i H:i nope:i rope:i vDim:i kPeStride:i',
  mlaAssembleBackward: 'dk:t dv:t dkv:T dkPe:T N:i H:i nope:i rope:i vDim:i kPeStride:i',
  // attention.ts
  attention:
    'q:t k:t v:t out:T lse:T sequences:t blockStarts:t S:i H:i Hkv:i dk:i dv:i qStride:i kStride:i vStride:i outStride:i NQ:i keyRows:i blockCount:i scale:f',
  attentionBackward:
    'q:t k:t v:t out:t dOut:t lse:t dq:T dk:T dv:T sequences:t blockStarts:t S:i H:i Hkv:i dk:i dv:i qStride:i kStride:i vStride:i outStride:i NQ:i keyRows:i blockCount:i scale:f',
  // machine.ts
  measureArithmetic: 'rounds:i out:T',
  measureReading: 'x:t n:i out:T',
} as const satisfies Record<string, string>;

export type OpName = keyof typeof operations;
