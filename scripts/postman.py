#!/usr/bin/env python3
"""Makes docs/bookmesh.postman_collection.json of docs/api.md: a folder for each part, a request
with its tests and a saved answer for each that has an end. A test sends all of them."""

import json
import pathlib
import re
import shlex

DOCS = pathlib.Path(__file__).parent.parent / "docs"
BASE = "http://127.0.0.1:3000"
# Ids that a new mesh gives, by the variable that stands for them and the request that makes them.
VARIABLES = {"bookId": "1", "secondBookId": "2", "v1BookId": "5", "orderId": "1"}
MAKERS = [("bookId", "Emma", "data.id"), ("secondBookId", "Machine", "data.id"),
          ("v1BookId", "Gatsby", "id"), ("orderId", '"quantity":2', "id")]
STEP = re.compile(r"```sh\n(?P<command>.*?)\n```\n\n```http\n(?P<answer>.*?)\n```\n", re.S)


def named(text):
    """The text with variables in the place of ids."""
    text = text.replace("/v1/orders/1", "/v1/orders/{{orderId}}")
    text = re.sub(r"/books/1\b", "/books/{{bookId}}", text)
    text = re.sub(r"/books/5\b", "/books/{{v1BookId}}", text)
    text = text.replace('{"id":"1"', '{"id":"{{bookId}}"')
    text = re.sub(r'"book_id":5\b', '"book_id":{{v1BookId}}', text)
    return re.sub(r'"book_id":2\b', '"book_id":{{secondBookId}}', text)


def request(command):
    words = shlex.split(command)
    method, headers, body, url = None, [], None, None
    rest = iter(words[1:])
    for word in rest:
        if word == "-X":
            method = next(rest)
        elif word == "-H":
            name, value = next(rest).split(": ", 1)
            headers.append({"key": name, "value": value})
        elif word == "-d":
            body = next(rest)
        elif word.startswith(BASE):
            url = word[len(BASE):]
        else:
            raise SystemExit(f"what is {word} in {command}")
    path, _, query = named(url).partition("?")
    made = {"method": method or ("POST" if body else "GET"), "header": headers, "url": {
        "raw": "{{baseUrl}}" + named(url), "host": ["{{baseUrl}}"],
        "path": path.strip("/").split("/"),
    }}
    if query:
        pairs = [pair.split("=", 1) for pair in query.split("&")]
        made["url"]["query"] = [{"key": key, "value": value} for key, value in pairs]
    if body is not None:
        made["body"] = {"mode": "raw", "raw": named(body),
                        "options": {"raw": {"language": "json"}}}
    return made


def answer(text, of):
    head, _, body = text.partition("\n\n")
    lines = head.split("\n")
    code, status = lines[0].split(" ", 2)[1:]
    headers = [dict(zip(("key", "value"), line.split(": ", 1))) for line in lines[1:]]
    return {"name": f"{code} {status}", "originalRequest": of, "status": status,
            "code": int(code), "_postman_previewlanguage": "json", "header": headers,
            "body": body}


def tests(made, shown):
    lines = [f"pm.test('status is {shown['code']}', () => pm.response.to.have.status({shown['code']}));"]
    for header in shown["header"]:
        lines.append(f"pm.test('has {header['key']}', () => pm.response.to.have.header('{header['key']}'));")
    if not shown["body"]:
        return lines
    body = json.loads(shown["body"])
    if isinstance(body, list):
        lines.append("pm.test('is a list', () => pm.expect(pm.response.json()).to.be.an('array'));")
        return lines
    keys = json.dumps(list(body))
    lines.append(f"pm.test('has its fields', () => pm.expect(pm.response.json()).to.have.all.keys({keys}));")
    if "error" in body and "code" in body["error"]:
        code = body["error"]["code"]
        lines.append(f"pm.test('is {code}', () => pm.expect(pm.response.json().error.code).to.eql('{code}'));")
    raw = made.get("body", {}).get("raw", "")
    for variable, mark, path in MAKERS:
        if made["method"] == "POST" and shown["code"] == 201 and mark in raw:
            lines.append(f"pm.collectionVariables.set('{variable}', pm.response.json().{path});")
    return lines


def main():
    guide = (DOCS / "api.md").read_text()
    folders = []
    for part in re.split(r"^##+ ", guide, flags=re.M)[1:]:
        title = part.split("\n", 1)[0].replace("`", "")
        items = []
        for step in STEP.finditer(part):
            if "|" in step["command"]:
                continue
            made = request(step["command"])
            shown = answer(step["answer"], made)
            path = "/" + "/".join(made["url"]["path"])
            items.append({
                "name": f"{made['method']} {path} is {shown['code']}",
                "event": [{"listen": "test", "script": {
                    "type": "text/javascript", "exec": tests(made, shown)}}],
                "request": made, "response": [shown]})
        if items:
            folders.append({"name": title, "item": items})
    collection = {
        "info": {
            "name": "Bookmesh",
            "description": "The requests of docs/api.md, in its order, for a new mesh of "
                           "`bookmesh up --workers 1`. Made by scripts/postman.py.",
            "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
        "item": folders,
        "variable": [{"key": "baseUrl", "value": BASE}]
        + [{"key": key, "value": value} for key, value in VARIABLES.items()]}
    text = json.dumps(collection, indent=1, ensure_ascii=False) + "\n"
    (DOCS / "bookmesh.postman_collection.json").write_text(text)


main()
