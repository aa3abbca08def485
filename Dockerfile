# The platform's image: the same code serves HTTP, WebSockets or background work.
#   web      docker run IMAGE                        (HTTP, granian on WSGI)
#   sockets  docker run IMAGE uvicorn config.asgi:application --host 0.0.0.0 --port 8001 \
#              --ws-max-size 1048576 --ws-ping-interval 60 --ws-ping-timeout 30 \
#              --ws-per-message-deflate false
#   worker   docker run IMAGE python manage.py worker
# Its settings come from the environment; .env.example lists them.
# PYTHON_DIGEST=sha256:... makes the base image the very one that somebody looked at:
#   docker build --build-arg PYTHON_DIGEST=sha256:... .
# Without it the newest 3.13-slim is taken.
ARG PYTHON_DIGEST
FROM python:3.13-slim${PYTHON_DIGEST:+@${PYTHON_DIGEST}} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements.txt .
RUN /opt/venv/bin/pip install --quiet --require-hashes -r requirements.txt

FROM python:3.13-slim${PYTHON_DIGEST:+@${PYTHON_DIGEST}}
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DEBUG=0 \
    HOST=0.0.0.0 \
    PORT=8000 \
    DATA_DIR=/data \
    STATIC_ROOT=/app/staticfiles
# pg_dump and pg_restore for backups. They have to be of the server's version or a newer one.
RUN apt-get update --quiet=2 \
    && apt-get install --quiet=2 --yes --no-install-recommends postgresql-client \
    && rm -rf /var/lib/apt/lists/*
# The code and the static files belong to root: whoever breaks into the process changes none of them.
RUN useradd --create-home --uid 10001 points \
    && install -d -o points -g points -m 0700 /data
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY . .
# The static files' names carry hashes of their content, so they are collected here, once. The
# values below live for this one command and are no secrets of anybody.
RUN key=of-this-one-command-and-nobody-elses \
    && SECRET_KEY=$key HASH_KEYS=$key TOKEN_KEYS=$key FIELD_ENCRYPTION_KEYS=$key SEAL_KEYS=$key ALLOWED_HOSTS=build \
    TRUSTED_PROXIES=0 SMS_SENDER=accounts.sms.NoSender \
    python manage.py collectstatic --noinput --verbosity 0 \
    && python -m compileall -q .
USER 10001
VOLUME /data
EXPOSE 8000 8001
# Any answer: /health also tells of storage and worker, for which no web container is restarted.
HEALTHCHECK --interval=30s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import os; from http.client import HTTPConnection as C; c = C('127.0.0.1', int(os.environ['PORT']), timeout=2.5); c.request('GET', '/health'); c.getresponse()"]
CMD ["sh", "-c", "exec granian --interface wsgi --host \"$HOST\" --port \"$PORT\" --blocking-threads 4 config.wsgi:application"]
