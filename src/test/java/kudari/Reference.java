package kudari;

import java.util.ArrayList;
import java.util.List;

/**
 * What each rule should compute, in float64 and written from the definitions: means and sums are taken over the whole history of gradients,
 * not by the recurrences that the rules use, and Nesterov's gradient really is taken one velocity ahead. One element each.
 */
abstract class Reference {

    /** The parameter. */
    double p;

    final List<Double> history = new ArrayList<>();

    Reference(double p) {
        this.p = p;
    }

    /** One step against this gradient. */
    final void step(double g) {
        history.add(g);
        move(g, history.size());
    }

    abstract void move(double g, int t);

    /** Σ weight·decayᵗ⁻ⁱ·gᵢ^power over the history. */
    final double decayed(double weight, double decay, int power) {
        return decayed(history.size(), weight, decay, power);
    }

    /** The same over the first so many gradients. */
    final double decayed(int count, double weight, double decay, int power) {
        double sum = 0;
        for (int i = 0; i < count; i++) {
            sum += weight * Math.pow(decay, count - 1 - i) * Math.pow(history.get(i), power);
        }
        return sum;
    }

    static Reference sgd(double p, double lr) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * g;
            }
        };
    }

    static Reference momentum(double p, double lr, double mu) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * decayed(1, mu, 1);
            }
        };
    }

    static Reference nesterov(double p, double lr, double mu) {
        return new Reference(p) {
            private double behind = p;

            @Override
            void move(double g, int t) {
                double velocity = -lr * decayed(1, mu, 1);
                behind += velocity;
                p = behind + mu * velocity;
            }
        };
    }

    static Reference adaGrad(double p, double lr, double h0, double eps, double epsRoot) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * g / (Math.sqrt(h0 + decayed(1, 1, 2) + epsRoot) + eps);
            }
        };
    }

    static Reference rmsProp(double p, double lr, double rho, double eps, double epsRoot) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * g / (Math.sqrt(decayed(1 - rho, rho, 2) + epsRoot) + eps);
            }
        };
    }

    /** The sum of RmsProp's steps so far, each decayed since. */
    static Reference rmsPropMomentum(double p, double lr, double rho, double mu, double eps, double epsRoot) {
        return new Reference(p) {
            private final List<Double> steps = new ArrayList<>();

            @Override
            void move(double g, int t) {
                steps.add(lr * g / (Math.sqrt(decayed(1 - rho, rho, 2) + epsRoot) + eps));
                for (int i = 0; i < t; i++) p = p - Math.pow(mu, t - 1 - i) * steps.get(i);
            }
        };
    }

    /** The variance as the weighted mean of squared distances from the weighted mean of the gradients and, for they start from 0, of zeros. */
    static Reference rmsPropCentered(double p, double lr, double rho, double eps, double epsRoot) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double mean = decayed(1 - rho, rho, 1), variance = Math.pow(rho, t) * mean * mean;
                for (int i = 0; i < t; i++) {
                    variance += (1 - rho) * Math.pow(rho, t - 1 - i) * Math.pow(history.get(i) - mean, 2);
                }
                p = p - lr * g / (Math.sqrt(variance + epsRoot) + eps);
            }
        };
    }

    static Reference lion(double p, double lr, double beta1, double beta2) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * Math.signum(beta1 * decayed(t - 1, 1 - beta2, beta2, 1) + (1 - beta1) * g);
            }
        };
    }

    static Reference signSgd(double p, double lr) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                p = p - lr * Math.signum(g);
            }
        };
    }

    /** As PyTorch has it, by comparisons; or as optax has it, late. */
    static Reference rprop(double p, double lr, double grow, double shrink, double least, double most, boolean late) {
        return new Reference(p) {
            private double size = lr, last;

            @Override
            void move(double g, int t) {
                double before = last;
                boolean turned = g * last < 0;
                if (g * last > 0) size = Math.min(size * grow, most);
                if (turned) size = Math.max(size * shrink, least);
                last = turned ? 0 : size * Math.signum(g);
                p = p - (!late ? last : turned ? 0 : before);
            }
        };
    }

    /** The paper's algorithm 1: both means corrected, ε added to the corrected root. */
    static Reference adamOfThePaper(double p, double lr, double beta1, double beta2, double eps, double epsRoot) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double m = decayed(1 - beta1, beta1, 1) / (1 - Math.pow(beta1, t));
                double v = decayed(1 - beta2, beta2, 2) / (1 - Math.pow(beta2, t));
                p = p - lr * m / (Math.sqrt(v + epsRoot) + eps);
            }
        };
    }

    /** The book's: the learning rate corrected, ε added to the uncorrected root. */
    static Reference adamOfTheBook(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double rate = lr * Math.sqrt(1 - Math.pow(beta2, t)) / (1 - Math.pow(beta1, t));
                p = p - rate * decayed(1 - beta1, beta1, 1) / (Math.sqrt(decayed(1 - beta2, beta2, 2)) + eps);
            }
        };
    }

    /** Keras's: the largest uncorrected mean so far, and ε added to its root. */
    static Reference amsGrad(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            private double largest;

            @Override
            void move(double g, int t) {
                largest = Math.max(largest, decayed(1 - beta2, beta2, 2));
                double rate = lr * Math.sqrt(1 - Math.pow(beta2, t)) / (1 - Math.pow(beta1, t));
                p = p - rate * decayed(1 - beta1, beta1, 1) / (Math.sqrt(largest) + eps);
            }
        };
    }
}
