// The special tokens of the DeepSeek family, V3 to V4.
//
// Owns their exact spelling (fullwidth bars U+FF5C, lower block U+2581) and the order in which a tokenizer of our own
// numbers them. Knows nothing about where a prompt puts them. The order is append-only: ids of shipped models depend on it.

export const beginOfSentence = '<｜begin▁of▁sentence｜>';
export const endOfSentence = '<｜end▁of▁sentence｜>';
export const padding = '<｜▁pad▁｜>';
export const userTurn = '<｜User｜>';
export const assistantTurn = '<｜Assistant｜>';
export const thinkBegin = '<think>';
export const thinkEnd = '</think>';
/** Stands inside the tags of tool calls: `<｜DSML｜invoke name="...">`. */
export const dsml = '｜DSML｜';
/** Opens a system message in V4.1. */
export const systemTurn = '<｜System｜>';
/** Stands for an image in V4.1's prompts. */
export const imagePlaceholder = '<｜deepseek_image｜>';
export const latestReminder = '<｜latest_reminder｜>';
export const fimBegin = '<｜fim▁begin｜>';
export const fimHole = '<｜fim▁hole｜>';
export const fimEnd = '<｜fim▁end｜>';

/** Marks of tool calls in V3, R1 and V3.1. */
export const toolCallsBegin = '<｜tool▁calls▁begin｜>';
export const toolCallsEnd = '<｜tool▁calls▁end｜>';
export const toolCallBegin = '<｜tool▁call▁begin｜>';
export const toolCallEnd = '<｜tool▁call▁end｜>';
export const toolSeparator = '<｜tool▁sep｜>';

/** Tokens that ask for one quick judgement about the conversation instead of an answer. */
export const quickTasks = {
  action: '<｜action｜>',
  query: '<｜query｜>',
  authority: '<｜authority｜>',
  domain: '<｜domain｜>',
  title: '<｜title｜>',
  readUrl: '<｜read_url｜>',
} as const;

/** In the order of their ids, from 0. */
export const specialTokens: readonly string[] = [
  beginOfSentence,
  endOfSentence,
  padding,
  userTurn,
  assistantTurn,
  thinkBegin,
  thinkEnd,
  dsml,
  latestReminder,
  ...Object.values(quickTasks),
  '<｜extracted_url｜>',
  fimBegin,
  fimHole,
  fimEnd,
  // V3 and R1 call tools with these.
  toolCallsBegin,
  toolCallsEnd,
  toolCallBegin,
  toolCallEnd,
  toolSeparator,
  '<｜tool▁outputs▁begin｜>',
  '<｜tool▁outputs▁end｜>',
  '<｜tool▁output▁begin｜>',
  '<｜tool▁output▁end｜>',
  // V4.1.
  systemTurn,
  imagePlaceholder,
];
