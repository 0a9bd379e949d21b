"""DeepSeek's reasoning guide (api-docs.deepseek.com/guides/thinking_mode), call by call: two rounds, whole and streamed.

Two editions of it: that of deepseek-reasoner, which sends only the content back, and that of V4, which sends the reasoning too.
What its samples read they read without asking, and so does this: both fields of every chunk, and every content where a chunk
has no reasoning.
"""

from openai import OpenAI
from scene import ANSWERING, QUESTION, scene

FURTHER = "How many Rs are there in the word 'strawberry'?"
client = OpenAI(api_key="<DeepSeek API Key>", base_url=ANSWERING)
EDITIONS = {
    "R1": {"model": "deepseek-reasoner"},
    "V4": {
        "model": "deepseek-v4-pro",
        "reasoning_effort": "high",
        "extra_body": {"thinking": {"type": "enabled"}},
    },
}


def whole(messages, options):
    response = client.chat.completions.create(messages=messages, **options)
    return response.choices[0].message.reasoning_content, response.choices[0].message.content


def streamed(messages, options):
    reasoning_content, content = "", ""
    for chunk in client.chat.completions.create(messages=messages, stream=True, **options):
        if chunk.choices[0].delta.reasoning_content:
            reasoning_content += chunk.choices[0].delta.reasoning_content
        else:
            content += chunk.choices[0].delta.content
    return reasoning_content, content


def rounds(ask, edition):
    messages = [{"role": "user", "content": QUESTION}]
    reasoning_content, content = ask(messages, EDITIONS[edition])
    assert reasoning_content
    assert "9.8 is greater" in content
    turn = {"role": "assistant", "content": content}
    if edition == "V4":
        turn["reasoning_content"] = reasoning_content
    messages += [turn, {"role": "user", "content": FURTHER}]
    reasoning_content, content = ask(messages, EDITIONS[edition])
    assert reasoning_content and content
    return reasoning_content, content


def agree(edition):
    assert rounds(whole, edition) == rounds(streamed, edition)


for edition in EDITIONS:
    scene(f"two rounds, whole and streamed alike, in {edition}'s edition", lambda: agree(edition))
