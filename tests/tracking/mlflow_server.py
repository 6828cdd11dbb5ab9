"""MLflow's own application and database, served without the packages that only ``mlflow server`` needs.

Run: ``python tests/tracking/mlflow_server.py FOLDER PORT``. The application is imported before any variable says that
this is a server: what guards one against other sites needs flask-cors.
"""

import os
import sys

from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR, BACKEND_STORE_URI_ENV_VAR, SERVE_ARTIFACTS_ENV_VAR, app
from mlflow.server.constants import ARTIFACT_ROOT_ENV_VAR
from mlflow.server.handlers import _get_tracking_store
from werkzeug.serving import make_server

folder, port = sys.argv[1:]
os.environ[BACKEND_STORE_URI_ENV_VAR] = f"sqlite:///{folder}/mlflow.db"
os.environ[ARTIFACTS_DESTINATION_ENV_VAR] = f"{folder}/artifacts"
os.environ[ARTIFACT_ROOT_ENV_VAR] = "mlflow-artifacts:/"
os.environ[SERVE_ARTIFACTS_ENV_VAR] = "true"
_get_tracking_store()  # which makes the tables
server = make_server("127.0.0.1", int(port), app, threaded=True)
print(server.port, flush=True)
server.serve_forever()
