"""Tests of the server process: authentication, bind rules, HTTP protocol, operations, backup and retention."""
