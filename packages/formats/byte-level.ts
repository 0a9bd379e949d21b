// The byte-level alphabet: one printable character for each byte.
//
// Owns the table that GPT-2 introduced and every DeepSeek tokenizer writes its tokens in. Knows nothing about
// vocabularies. The mapping is one to one over all 256 bytes.

/** The character for each byte: itself where it prints in Latin-1, else U+0100 and onward in byte order. */
export const byteCharacters: readonly string[] = makeByteCharacters();

const characterBytes: ReadonlyMap<string, number> = new Map(byteCharacters.map((character, byte) => [character, byte]));

/** The bytes that a token's characters stand for, or undefined when one of them stands for none. */
export function tokenBytes(token: string): Uint8Array | undefined {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = characterBytes.get(token[i] as string);
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}

function makeByteCharacters(): string[] {
  const printsAsItself = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
  let replacement = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printsAsItself(byte) ? byte : replacement++));
}
