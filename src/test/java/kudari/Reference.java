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
        return decayed(history.subList(0, count), weight, decay, power);
    }

    /** The same of any numbers. */
    static double decayed(List<Double> history, double weight, double decay, int power) {
        double sum = 0;
        int count = history.size();
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

    /** As its authors' code, which adds ε to lr: from the start and all gradients. */
    static Reference madgrad(double p, double lr, double mu, double eps) {
        double start = p;
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double squares = 0, sum = 0;
                for (int i = 0; i < t; i++) {
                    double weight = (lr + eps) * Math.sqrt(i + 1);
                    squares += weight * Math.pow(history.get(i), 2);
                    sum += weight * history.get(i);
                }
                p = mu * p + (1 - mu) * (start - sum / (Math.cbrt(squares) + eps));
            }
        };
    }

    /** The paper's algorithm 1, its z summed over all gradients and all parameters so far. */
    static Reference ftrl(double p, double lr, double n0, double beta, double lasso, double ridge) {
        return new Reference(p) {
            private final List<Double> ps = new ArrayList<>();

            @Override
            void move(double g, int t) {
                ps.add(p);
                double n = n0, z = 0;
                for (int i = 0; i < t; i++) {
                    double before = n;
                    n += Math.pow(history.get(i), 2);
                    z += history.get(i) - (Math.sqrt(n) - Math.sqrt(before)) / lr * ps.get(i);
                }
                p = Math.abs(z) <= lasso ? 0 : -(z - Math.signum(z) * lasso) / ((beta + Math.sqrt(n)) / lr + ridge);
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

    /** The authors': the mean of the squared distance to the gradient's mean, with ε_root added in each step. */
    static Reference adaBelief(double p, double lr, double beta1, double beta2, double eps, double epsRoot) {
        return new Reference(p) {
            private final List<Double> off = new ArrayList<>();

            @Override
            void move(double g, int t) {
                double m = decayed(1 - beta1, beta1, 1);
                off.add(g - m);
                double s = decayed(off, 1 - beta2, beta2, 2) + epsRoot * (1 - Math.pow(beta2, t)) / (1 - beta2);
                double hat = Math.sqrt(s / (1 - Math.pow(beta2, t)));
                p = p - lr * m / (1 - Math.pow(beta1, t)) / (hat + eps);
            }
        };
    }

    /** PyTorch's: the means corrected by the product of the momenta so far. */
    static Reference nadam(double p, double lr, double beta1, double beta2, double psi, double eps) {
        return new Reference(p) {
            private double product = 1;

            @Override
            void move(double g, int t) {
                double now = nadamMomentum(beta1, psi, t), next = nadamMomentum(beta1, psi, t + 1);
                product *= now;
                double m = decayed(1 - beta1, beta1, 1), v = decayed(1 - beta2, beta2, 2) / (1 - Math.pow(beta2, t));
                double ahead = (1 - now) / (1 - product) * g + next / (1 - product * next) * m;
                p = p - lr * ahead / (Math.sqrt(v) + eps);
            }
        };
    }

    static double nadamMomentum(double beta1, double psi, int t) {
        return beta1 * (1 - 0.5 * Math.pow(0.96, t * psi));
    }

    /** PyTorch's: ε added to the uncorrected root. */
    static Reference radam(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double m = decayed(1 - beta1, beta1, 1) / (1 - Math.pow(beta1, t)), r = rectification(beta2, t);
                double root = Math.sqrt(decayed(1 - beta2, beta2, 2)) + eps;
                p = p - lr * m * (r == 0 ? 1 : r * Math.sqrt(1 - Math.pow(beta2, t)) / root);
            }
        };
    }

    /** rₜ of RAdam, and 0 where its ρₜ is 5 or less. */
    static double rectification(double beta2, int t) {
        double last = 2 / (1 - beta2) - 1, rho = last - 2 * t * Math.pow(beta2, t) / (1 - Math.pow(beta2, t));
        return rho <= 5 ? 0 : Math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho));
    }

    /** PyTorch's: ε beside |g|, inside the maximum. */
    static Reference adamax(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double u = 0;
                for (int i = 0; i < t; i++) {
                    u = Math.max(u, Math.pow(beta2, t - 1 - i) * (Math.abs(history.get(i)) + eps));
                }
                p = p - lr / (1 - Math.pow(beta1, t)) * decayed(1 - beta1, beta1, 1) / u;
            }
        };
    }

    static Reference adaDelta(double p, double lr, double rho, double eps) {
        return new Reference(p) {
            private final List<Double> steps = new ArrayList<>();

            @Override
            void move(double g, int t) {
                // Of the steps before this one, whose weights begin with 1 − ρ as those of the gradients do.
                double d = decayed(steps, 1 - rho, rho, 2), h = decayed(1 - rho, rho, 2);
                steps.add(Math.sqrt(d + eps) / Math.sqrt(h + eps) * g);
                p = p - lr * steps.get(t - 1);
            }
        };
    }

    /** optax's: both arrays from a small number, and both corrected as if from 0. */
    static Reference yogi(double p, double lr, double beta1, double beta2, double start, double eps) {
        return new Reference(p) {
            private double v = start;

            @Override
            void move(double g, int t) {
                v -= (1 - beta2) * Math.signum(v - g * g) * g * g;
                double m = decayed(1 - beta1, beta1, 1) + start * Math.pow(beta1, t);
                double hat = Math.sqrt(v / (1 - Math.pow(beta2, t)));
                p = p - lr * m / (1 - Math.pow(beta1, t)) / (hat + eps);
            }
        };
    }

    /** The authors': the change of the gradient weighs as much as its mean keeps. */
    static Reference adan(double p, double lr, double beta1, double beta2, double beta3, double eps, double epsRoot) {
        return new Reference(p) {
            private final List<Double> changes = new ArrayList<>(), looks = new ArrayList<>();

            @Override
            void move(double g, int t) {
                changes.add(t == 1 ? 0 : g - history.get(t - 2));
                looks.add(g + beta2 * changes.get(t - 1));
                double m = decayed(1 - beta1, beta1, 1) / (1 - Math.pow(beta1, t));
                double d = decayed(changes, 1 - beta2, beta2, 1) / (1 - Math.pow(beta2, t));
                double n = decayed(looks, 1 - beta3, beta3, 2) / (1 - Math.pow(beta3, t));
                p = p - lr * (m + beta2 * d) / (Math.sqrt(n + epsRoot) + eps);
            }
        };
    }

    /** optax's: no warm-up, and the slow mean uncorrected. */
    static Reference adEMAMix(double p, double lr, double beta1, double beta2, double beta3, double alpha, double eps) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double fast = decayed(1 - beta1, beta1, 1) / (1 - Math.pow(beta1, t));
                double v = decayed(1 - beta2, beta2, 2) / (1 - Math.pow(beta2, t));
                p = p - lr * (fast + alpha * decayed(1 - beta3, beta3, 1)) / (Math.sqrt(v) + eps);
            }
        };
    }

    static Reference scheduleFreeSgd(double p, double lr, double beta, int warmUp, double decay) {
        return new ScheduleFree(p, lr, beta, warmUp, decay) {
            @Override
            double direction(double g, int t) {
                return g;
            }
        };
    }

    static Reference scheduleFreeAdamW(
            double p, double lr, double beta1, double beta2, double eps, int warmUp, double decay) {
        return new ScheduleFree(p, lr, beta1, warmUp, decay) {
            @Override
            double direction(double g, int t) {
                return g / (Math.sqrt(decayed(1 - beta2, beta2, 2) / (1 - Math.pow(beta2, t))) + eps);
            }
        };
    }

    /** The paper's three points: p is y, z goes its own way, and x is the mean of all z, weighed by the squares of their rates. */
    abstract static class ScheduleFree extends Reference {
        private final double lr, beta, decay;
        private final int warmUp;
        private final List<Double> zs = new ArrayList<>(), weights = new ArrayList<>();
        private double z;

        /** What is to be used. */
        double x;

        ScheduleFree(double p, double lr, double beta, int warmUp, double decay) {
            super(p);
            this.lr = lr;
            this.beta = beta;
            this.warmUp = warmUp;
            this.decay = decay;
            z = p;
        }

        abstract double direction(double g, int t);

        @Override
        void move(double g, int t) {
            double rate = t < warmUp ? lr * t / warmUp : lr, sum = 0, weight = 0;
            z -= rate * (direction(g, t) + decay * p);
            zs.add(z);
            weights.add(rate * rate);
            for (int i = 0; i < t; i++) {
                sum += weights.get(i) * zs.get(i);
                weight += weights.get(i);
            }
            x = sum / weight;
            p = (1 - beta) * z + beta * x;
        }
    }

    /** The authors', with clipping: a gradient is divided by what the gradients before it leave. */
    static Reference adopt(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            private final List<Double> normed = new ArrayList<>();

            @Override
            void move(double g, int t) {
                if (t == 1) return;
                double v = Math.pow(history.get(0), 2) * Math.pow(beta2, t - 2);
                for (int i = 2; i < t; i++) {
                    v += (1 - beta2) * Math.pow(beta2, t - 1 - i) * Math.pow(history.get(i - 1), 2);
                }
                double limit = Math.pow(t - 1, 0.25), quotient = g / Math.max(Math.sqrt(v), eps);
                normed.add(Math.max(-limit, Math.min(quotient, limit)));
                p = p - lr * decayed(normed, 1 - beta1, beta1, 1);
            }
        };
    }

    /** A tensor of one element: what the velocity gathers is so much of the parameter's own size, by the sign of the gradient. */
    static Reference lars(double p, double lr, double mu, double coefficient) {
        return new Reference(p) {
            private final List<Double> pushes = new ArrayList<>();

            @Override
            void move(double g, int t) {
                pushes.add(lr * coefficient * Math.abs(p) * Math.signum(g));
                p = p - decayed(pushes, 1, mu, 1);
            }
        };
    }

    /** A tensor of one element. */
    static Reference novoGrad(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            private final List<Double> normed = new ArrayList<>();

            @Override
            void move(double g, int t) {
                double square = Math.pow(beta2, t - 1) * Math.pow(history.get(0), 2);
                for (int i = 2; i <= t; i++)
                    square += (1 - beta2) * Math.pow(beta2, t - i) * Math.pow(history.get(i - 1), 2);
                normed.add(g / (Math.sqrt(square) + eps));
                p = p - lr * decayed(normed, 1, beta1, 1);
            }
        };
    }

    /** A vector of one element: the weights of all squares so far, written out. */
    static Reference adafactor(double p, double lr, double exponent, double eps, double least, double threshold) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double v = 0;
                for (int i = 1; i <= t; i++) {
                    double weight = Math.pow(i, -exponent);
                    for (int j = i + 1; j <= t; j++) weight *= 1 - Math.pow(j, -exponent);
                    v += weight * (Math.pow(history.get(i - 1), 2) + eps);
                }
                double u = g / Math.sqrt(v), clipped = u / Math.max(1, Math.abs(u) / threshold);
                p = p - Math.min(lr, 1 / Math.sqrt(t)) * Math.max(least, Math.abs(p)) * clipped;
            }
        };
    }

    /** A tensor of one element, which goes by so much of its own size, by the sign of Adam's step. */
    static Reference lamb(double p, double lr, double beta1, double beta2, double eps) {
        return new Reference(p) {
            @Override
            void move(double g, int t) {
                double m = decayed(1 - beta1, beta1, 1) / (1 - Math.pow(beta1, t));
                double v = decayed(1 - beta2, beta2, 2) / (1 - Math.pow(beta2, t));
                double u = m / (Math.sqrt(v) + eps);
                double ratio = p == 0 || u == 0 ? 1 : Math.abs(p) / Math.abs(u);
                p = p - lr * ratio * u;
            }
        };
    }
}
