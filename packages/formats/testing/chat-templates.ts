// Chat templates that behave as the released ones do, in our own words and as short as they can be.
//
// Owns what the tests of the Jinja path need: the same prompts, tokens and oddities, without the files. Never used outside
// tests.

/** DeepSeek-V2: no tools, no reasoning; words instead of special tokens. */
export const v2Template = `{{ bos_token }}
{%- for m in messages -%}
  {%- if m.role == 'system' %}{{ m.content + '\\n\\n' }}
  {%- elif m.role == 'user' %}{{ 'User: ' + m.content + '\\n\\n' }}
  {%- elif m.role == 'assistant' %}{{ 'Assistant: ' + m.content + eos_token }}{% endif %}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}`;

/**
 * R1 and its distills since February 2025: the reasoning is opened, the history's is cut away, calls stand in a fence, and
 * a message with calls shows them only if its content is none. With \`opening\` empty, the first release.
 */
export const r1Template = (opening: string = '<think>\\n') => `{%- set state = namespace(system='', results=false) -%}
{%- for m in messages if m.role == 'system' %}{% set state.system = state.system + m.content %}{% endfor -%}
{{ bos_token + state.system }}
{%- for m in messages -%}
  {%- if m.role == 'user' -%}
    {%- set state.results = false -%}
    {{ '<｜User｜>' + m.content }}
  {%- elif m.role == 'assistant' and m.content is none -%}
    {{ '<｜Assistant｜><｜tool▁calls▁begin｜>' }}
    {%- for call in m.tool_calls -%}
      {{ ('' if loop.first else '\\n') + '<｜tool▁call▁begin｜>' + call.type + '<｜tool▁sep｜>' + call.function.name }}
      {{- '\\n\`\`\`json\\n' + call.function.arguments + '\\n\`\`\`<｜tool▁call▁end｜>' }}
    {%- endfor -%}
    {{ '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}
  {%- elif m.role == 'assistant' -%}
    {{ ('<｜tool▁outputs▁end｜>' if state.results else '<｜Assistant｜>') + m.content.split('</think>')[-1] }}
    {{- '<｜end▁of▁sentence｜>' }}
    {%- set state.results = false -%}
  {%- elif m.role == 'tool' -%}
    {{ ('\\n' if state.results else '<｜tool▁outputs▁begin｜>') + '<｜tool▁output▁begin｜>' + m.content }}
    {{- '<｜tool▁output▁end｜>' }}
    {%- set state.results = true -%}
  {%- endif -%}
{%- endfor -%}
{%- if state.results %}{{ '<｜tool▁outputs▁end｜>' }}
{%- elif add_generation_prompt %}{{ '<｜Assistant｜>${opening}' }}{% endif %}`;

/** V3.1: a switch, calls without a fence, tools named by the caller's own system message. */
export const v31Template = `{%- set thinking = thinking is defined and thinking -%}
{%- set state = namespace(system='', asked=false) -%}
{%- for m in messages if m.role == 'system' %}{% set state.system = state.system + m.content %}{% endfor -%}
{{ bos_token + state.system }}
{%- for m in messages -%}
  {%- if m.role == 'user' -%}
    {{ '<｜User｜>' + m.content }}
    {%- set state.asked = true -%}
  {%- elif m.role == 'assistant' -%}
    {{ ('<｜Assistant｜></think>' if state.asked else '') + (m.content or '').split('</think>')[-1] }}
    {%- if m.tool_calls -%}
      {{ '<｜tool▁calls▁begin｜>' }}
      {%- for call in m.tool_calls -%}
        {{ '<｜tool▁call▁begin｜>' + call.function.name + '<｜tool▁sep｜>' + call.function.arguments + '<｜tool▁call▁end｜>' }}
      {%- endfor -%}
      {{ '<｜tool▁calls▁end｜>' }}
    {%- endif -%}
    {{ eos_token }}
    {%- set state.asked = false -%}
  {%- elif m.role == 'tool' -%}
    {{ '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' }}
    {%- set state.asked = false -%}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt and state.asked %}{{ '<｜Assistant｜>' + ('<think>' if thinking else '</think>') }}{% endif %}`;
