-- MLflow's own database is made by POSTGRES_DB; Prefect's, and that of MLflow's users, here.
CREATE DATABASE prefect;
CREATE DATABASE mlflow_auth;
