import numpy as np
import pytest

from diffbehav.stats.clustered import clustered_quantiles


def drawn(seed: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """25 values a cluster, half of whose variance is that of the cluster."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), 25)
    return rng.normal(size=clusters)[cluster] + rng.normal(size=len(cluster)), cluster


def covers(value: np.ndarray, cluster: np.ndarray) -> np.ndarray:
    truth = np.sqrt(2.0) * np.array([0.0, 1.6448536])
    found = clustered_quantiles(
        value, cluster_C=cluster, quantiles=(0.5, 0.95), level=0.95, rng=np.random.default_rng(0)
    )
    return np.asarray((found.low_Q <= truth) & (truth <= found.high_Q))


def test_the_interval_covers_the_true_quantiles_where_values_of_a_cluster_move_together() -> None:
    covered = np.mean([covers(*drawn(seed, 40)) for seed in range(100)], axis=0)
    assert (covered >= [0.9, 0.8]).all()


def test_as_if_the_values_were_independent_it_would_cover_too_rarely() -> None:
    covered = [covers(value, np.arange(len(value))) for value, _ in (drawn(seed, 40) for seed in range(25))]
    assert np.mean(covered) < 0.75


def test_quantiles_are_values_that_were_measured_and_lie_in_their_intervals() -> None:
    rng = np.random.default_rng(0)
    value = rng.exponential(size=5000)
    found = clustered_quantiles(
        value, cluster_C=rng.integers(0, 20, 5000), quantiles=(0.5, 0.95), level=0.95, rng=rng
    )
    assert np.isin(found.value_Q, value).all()
    assert found.value_Q == pytest.approx(np.quantile(value, [0.5, 0.95]), rel=0.01)
    assert (found.low_Q <= found.value_Q).all() and (found.value_Q <= found.high_Q).all()


def test_too_few_clusters_have_quantiles_and_no_interval() -> None:
    found = clustered_quantiles(
        np.arange(70.0), cluster_C=np.arange(70) % 7, quantiles=(0.5,), level=0.95, rng=np.random.default_rng(0)
    )
    assert found.value_Q.tolist() == [34.0]
    assert np.isnan(found.low_Q).all() and np.isnan(found.high_Q).all()


def test_one_value_everywhere_is_its_own_interval() -> None:
    found = clustered_quantiles(
        np.zeros(100), cluster_C=np.arange(100) % 10, quantiles=(0.5, 0.95), level=0.95, rng=np.random.default_rng(0)
    )
    assert [each.tolist() for each in found] == [[0.0, 0.0]] * 3
