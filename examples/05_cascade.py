"""A cascade with a real verifier: read a receipt with a small classifier, and ask a large one if the sum is wrong.

Both classifiers learn scanned digits here and now. The small arm is a naive Bayes classifier, the large one a support
vector machine. A receipt is three digits and, in print, their sum. The verifier adds up what an arm has read, and
compares that with the printed sum. It knows no digit, and it errs where two misread digits cancel out. The router
learns what its word is worth, from the quality of the readings that were delivered.

Needs scikit-learn: pip install scikit-learn
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import SVC

from banditroute import Preference, Router

RECEIPTS = 600
LEARNED_FROM = 600
USD = {"small": 0.0001, "large": 0.003}
PREFERENCE = Preference(quality=1.0, cost_usd=30.0)


def main() -> None:
    pictures, digits = load_digits(return_X_y=True)
    classifiers = {"small": GaussianNB(var_smoothing=0.01), "large": SVC()}
    for classifier in classifiers.values():
        classifier.fit(pictures[:LEARNED_FROM], digits[:LEARNED_FROM])

    rng = np.random.default_rng(0)
    receipts = rng.integers(LEARNED_FROM, len(digits), size=(RECEIPTS, 3))
    router = Router(arms=list(USD), features=0, preference=PREFERENCE, seed=0)
    right = spent = 0.0
    calls: Counter[str] = Counter()
    for receipt in receipts:
        printed_sum = digits[receipt].sum()
        decision = router.route([])
        readings = {}
        while True:
            readings[decision.id] = classifiers[decision.arm].predict(pictures[receipt])
            router.feedback(decision.id, cost_usd=USD[decision.arm])
            calls[decision.arm] += 1
            spent += USD[decision.arm]
            step = router.next_step(decision, {"sum": float(readings[decision.id].sum() == printed_sum)})
            if step.next is None:
                break
            decision = step.next
        quality = float((readings[step.answer] == digits[receipt]).all())
        router.feedback(step.answer, quality=quality)
        right += quality

    print(f"{'':<14}{'right':>8}{'USD':>10}")
    for arm, classifier in classifiers.items():
        read = classifier.predict(pictures[receipts.ravel()]).reshape(receipts.shape)
        share = (read == digits[receipts]).all(axis=1).mean()
        print(f"{'always ' + arm:<14}{share:>8.1%}{RECEIPTS * USD[arm]:>10.4f}")
    print(f"{'the cascade':<14}{right / RECEIPTS:>8.1%}{spent:>10.4f}")
    print(f"\ncalls: {dict(calls)} for {RECEIPTS} receipts")


if __name__ == "__main__":
    main()
