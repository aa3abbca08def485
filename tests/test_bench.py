"""What benchmarks measure is what they say it is."""

import pytest

from bench.honest_rows import fill
from lottery.models import Draw, SeedPair
from ops.services import integrity


@pytest.mark.django_db
def test_the_rows_of_the_benchmark_are_honest():
    fill(people=12, draws_each=6)
    assert Draw.objects.count() == 72
    assert SeedPair.objects.count() > 12
    assert [one for name in integrity.checks.names() for one in integrity.run(name)] == []
