"""A backend over an Iottly project, to be copied: devices, history, commands, webhooks, live.

    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    pip install 'iottly-async[fastapi]' uvicorn
    uvicorn --app-dir examples --factory fastapi_backend.main:create_app

then http://127.0.0.1:8000/ is the live page, and /docs the API; a worker that is to stop
while browsers listen needs ``--timeout-graceful-shutdown 3``. ``main`` puts it together;
``devices`` and ``live`` are its routes, ``hub`` hands one stream to many browsers, and
``page/`` is what they load, without a build.

It has no users of its own: put it behind what authenticates yours.
"""
