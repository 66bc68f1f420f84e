import pytest

pytest.register_assert_rewrite("tests.fuzz.ground")
