"""What people see of a run: one set of queries serves summary, report, export and API."""
