"""Templates that were compiled before: the tests render the same with them as Copier does by itself."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import copy
from tests.releases import NEXT
from tests.update.services import files


def test_a_service_is_the_same_whether_its_templates_were_compiled_before(template: Path, tmp_path: Path) -> None:
    answers = {"preset": "production", "database": "postgres"}
    given = [f"--data={question}={answer}" for question, answer in answers.items()]
    command = [sys.executable, "-m", "copier", "copy", "--quiet", "--defaults", f"--vcs-ref={NEXT}", *given]
    subprocess.run([*command, template, tmp_path / "alone"], check=True, capture_output=True)
    alone = files(tmp_path / "alone")
    for name in ("first", "second"):
        assert files(copy(template, tmp_path / name, **answers)) == alone
