"""Prints the number of each event that a client of PyPI gets, a line each: `client.py CLIENT URL`."""

import json
import sys
import time

import httpx
import httpx_sse
import requests
import sseclient

client, url = sys.argv[1:]


def received(event):
    data = json.loads(event.data)
    if event.event == "note.written":
        print(data["number"], flush=True)
    elif event.event == "typed-events.gap":
        print("gap", data, flush=True)
    else:
        print("open", flush=True)


def with_httpx_sse(last_id):
    headers = {"Last-Event-ID": last_id} if last_id else {}
    with httpx.Client(timeout=30) as http, httpx_sse.connect_sse(http, "GET", url, headers=headers) as source:
        for event in source.iter_sse():
            yield event


def with_sseclient_py(last_id):
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    with requests.get(url, stream=True, headers=headers, timeout=30) as response:
        for event in sseclient.SSEClient(response).events():
            yield event


# Neither connects again by itself: their documentation leaves the loop to the user.
last_id, connect = None, {"httpx-sse": with_httpx_sse, "sseclient-py": with_sseclient_py}[client]
while True:
    try:
        for event in connect(last_id):
            last_id = event.id or last_id
            received(event)
    except (httpx.TransportError, requests.RequestException):
        pass
    time.sleep(0.05)
