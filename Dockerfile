# docker build -t inkblot . && docker run --rm --read-only --tmpfs /tmp -p 7860:7860 inkblot
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 inkblot
WORKDIR /home/inkblot/app
COPY requirements.txt .
# PyPI's own build would bring gigabytes of CUDA along; TORCH_INDEX names another index for a machine with a GPU.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" torch==2.13.0 && pip install --no-cache-dir -r requirements.txt
COPY app.py ./
COPY assets assets
COPY model model
COPY playground playground
USER inkblot
# Nothing is fetched at run time, and nothing is written but under /tmp.
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 GRADIO_TEMP_DIR=/tmp/gradio GRADIO_ANALYTICS_ENABLED=False \
    HF_HUB_OFFLINE=1 HF_HOME=/tmp/huggingface HF_HUB_DISABLE_TELEMETRY=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "app.py", "--no-browser"]
