"""A small site on Flask, as somebody would write it who knows nothing of us."""

from collections.abc import Iterator
from hashlib import sha256

from flask import Flask, Response, flash, get_flashed_messages, jsonify, redirect, request, session, url_for

app = Flask(__name__)
app.secret_key = "a key of this test"


@app.get("/")
def index() -> Response:
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"], path=request.path, root=request.script_root, url=request.url)


@app.post("/form")
def form() -> object:
    flash(f"thank you, {request.form['name']}")
    return redirect(url_for("thanks"))


@app.get("/thanks")
def thanks() -> Response:
    return jsonify(messages=get_flashed_messages())


@app.post("/upload")
def upload() -> Response:
    file = request.files["picture"]
    content = file.read()
    return jsonify(name=file.filename, media=file.mimetype, octets=len(content), digest=sha256(content).hexdigest())


@app.put("/echo/<path:rest>")
def echo(rest: str) -> Response:
    return Response(request.get_data(), 201, {"X-Rest": rest.encode().hex()}, content_type=request.content_type)


@app.get("/stream")
def stream() -> Response:
    def parts() -> Iterator[str]:
        for number in range(1000):
            yield f"line {number}\n"

    return Response(parts(), content_type="text/plain")


@app.get("/broken")
def broken() -> Response:
    raise RuntimeError("a mistake of the site's author")


@app.get("/broken-later")
def broken_later() -> Response:
    def parts() -> Iterator[str]:
        yield "so far"
        raise RuntimeError("a mistake after the head")

    return Response(parts())
