"""The official OpenAI package for Python: chat completions, tools, structured outputs, responses, the asynchronous client."""

import asyncio
import json

from openai import AsyncOpenAI, BadRequestError, OpenAI
from pydantic import BaseModel
from scene import ACTING, ANSWERING, MODEL, QUESTION, report, scene

client = OpenAI(base_url=f"{ANSWERING}/v1", api_key="none", max_retries=0)
actor = OpenAI(base_url=f"{ACTING}/v1", api_key="none", max_retries=0)
asked = {"model": MODEL, "messages": [{"role": "user", "content": QUESTION}]}
weather = {
    "name": "weather",
    "description": "Weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


class Order(BaseModel):
    item: str
    count: int


def lists_models():
    assert MODEL in [model.id for model in client.models.list()]


def answers():
    message = client.chat.completions.create(**asked).choices[0].message
    assert "9.8 is greater" in message.content
    assert message.reasoning_content
    content, reasoning = "", ""
    for chunk in client.chat.completions.create(**asked, stream=True):
        content += chunk.choices[0].delta.content or ""
        reasoning += getattr(chunk.choices[0].delta, "reasoning_content", None) or ""
    assert (content, reasoning) == (message.content, message.reasoning_content)


def does_not_think():
    calm = client.chat.completions.create(**asked, extra_body={"thinking": {"type": "disabled"}})
    assert not hasattr(calm.choices[0].message, "reasoning_content")


def parses():
    order = "Extract item and count as JSON: please send me 12 lamps."
    chat = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": order}], response_format=Order, max_tokens=300
    )
    assert isinstance(chat.choices[0].message.parsed, Order)
    response = client.responses.parse(model=MODEL, input=order, text_format=Order, max_output_tokens=300)
    assert isinstance(response.output_parsed, Order)


def takes_results_of_tools():
    messages = [{"role": "user", "content": "Weather in Paris and Oslo?"}]
    tools = [{"type": "function", "function": weather}]
    message = actor.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message
    assert len(message.tool_calls) == 2
    messages.append(message)
    for call in message.tool_calls:
        result = report(json.loads(call.function.arguments)["city"])
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    # As DeepSeek's guide to calls while thinking has it: the message goes back as it came, reasoning and all.
    assert messages[1].reasoning_content
    last = actor.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0].message
    assert "sunny, rainy" in last.content


def streams_responses():
    with client.responses.stream(model=MODEL, input=QUESTION) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        assert stream.get_final_response().output_text == text
    assert "9.8 is greater" in text


def throws():
    try:
        client.chat.completions.create(**{**asked, "model": "gpt-7"})
    except BadRequestError as error:
        assert "supported API model names" in error.message
    else:
        raise AssertionError("expected a refusal")


def asks_at_once():
    async def ask():
        async with AsyncOpenAI(base_url=f"{ANSWERING}/v1", api_key="none") as asynchronous:
            answers = [asynchronous.chat.completions.create(**asked) for _ in range(4)]
            return {answer.choices[0].message.content for answer in await asyncio.gather(*answers)}

    (content,) = asyncio.run(ask())
    assert "9.8 is greater" in content


scene("lists models", lists_models)
scene("answers with reasoning, whole and streamed alike", answers)
scene("does not think when told not to", does_not_think)
scene("parses what a schema holds it to", parses)
scene("takes the results of tools", takes_results_of_tools)
scene("streams responses", streams_responses)
scene("throws what the server refuses", throws)
scene("asks four times at once and gets one answer", asks_at_once)
