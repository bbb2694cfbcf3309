"""An example backend: devices, history, commands, webhooks and a live page. Copy and change it.

    export IOTTLY_API_KEY=…  IOTTLY_PROJECT=…
    pip install 'iottly-async[fastapi]' uvicorn
    uvicorn --app-dir examples --factory fastapi_backend.main:create_app

Then http://127.0.0.1:8000/ is the live page, and /docs is the API. Add
``--timeout-graceful-shutdown 3`` so that a worker can stop while browsers are connected.

``main`` creates the application; ``devices`` and ``live`` are its routes; ``hub`` sends one
stream to many browsers; ``page/`` holds the page's files, which need no build.

The backend does not authenticate its users: put it behind a proxy that does.
"""
