"""The official OpenAI package for Python: chat completions, tools, structured outputs, responses, training, the asynchronous client."""

import asyncio
import json
import time

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


def trains():
    rows = [{"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "Yes."}]} for n in range(4)]
    content = "\n".join(json.dumps(row) for row in rows).encode()
    file = client.files.create(file=("rows.jsonl", content), purpose="fine-tune")
    hyperparameters = {"n_epochs": 1, "batch_size": 2}
    asked_for = {
        "model": "hadal-nano",
        "training_file": file.id,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
    }
    jobs = client.fine_tuning.jobs
    job = jobs.create(**asked_for, suffix="python", seed=1, metadata={"by": "python"})
    assert job.status == "validating_files" and job.id.startswith("ftjob-")
    assert jobs.pause(job.id).status == "queued"
    jobs.resume(job.id)
    while jobs.retrieve(job.id).status not in ("succeeded", "failed", "cancelled"):
        time.sleep(0.1)
    job = jobs.retrieve(job.id)
    assert job.status == "succeeded", job.error
    assert job.id in [one.id for one in jobs.list(limit=1, extra_query={"metadata[by]": "python"})]
    losses = [event.data["loss"] for event in jobs.list_events(job.id, limit=2) if event.type == "metrics"]
    assert len(losses) == 2 and all(loss > 0 for loss in losses), losses
    last = next(iter(jobs.checkpoints.list(job.id)))
    assert (last.step_number, last.fine_tuned_model_checkpoint) == (2, f"{job.fine_tuned_model}:ckpt-step-2")
    for model in (job.fine_tuned_model, last.fine_tuned_model_checkpoint):
        assert client.models.retrieve(model).id == model
        assert client.chat.completions.create(**{**asked, "model": model}, max_tokens=4).model == model
    grader = {"type": "string_check", "name": "same", "operation": "eq", "input": "{{ sample.output_text }}", "reference": "{{ item.a }}"}
    run = client.fine_tuning.alpha.graders.run(grader=grader, item={"a": "42"}, model_sample="42")
    assert (run.reward, run.metadata.errors.other_error) == (1, False)
    try:
        jobs.create(**{**asked_for, "hyperparameters": {"n_epochs": 99}, "method": None})
    except BadRequestError as error:
        assert error.param == "hyperparameters.n_epochs", error.param
    else:
        raise AssertionError("expected a refusal")
    other = jobs.create(**asked_for)
    assert jobs.cancel(other.id).status == "cancelled"


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
scene("trains a model further and asks it", trains)
scene("asks four times at once and gets one answer", asks_at_once)
