package kudari.data;

import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Ten digits that the program draws itself, much as a hand would: something to train on where nothing can be downloaded. The shape is
 * MNIST's: 28×28 pixels, white (255) on black, ten classes with equal chances.
 *
 * <p>Each image is one of several styles of its digit, bent, stretched, slanted, turned and moved at random, in a line of random width, ink
 * and softness, with some noise. An image depends on the seed, the set and its index alone, so a smaller set is the beginning of a
 * larger one, and the bytes are the same on every machine. The sets have no image in common but by chance.
 */
public final class Digits {

    private static final int SIDE = 28;

    /** A row per digit, a string per style: strokes, parted by slashes; of each its points x,y in percent of a box, y downwards. */
    private static final Style[][] STYLES = {
        styles(
                "52,5 32,16 22,46 30,82 50,95 70,82 78,50 69,16 50,5 42,8",
                "62,10 44,5 30,28 26,60 40,92 58,92 72,66 72,30 58,8 46,12"),
        styles("52,4 50,50 48,96", "30,26 42,18 54,4 54,4 52,50 51,96", "32,24 54,5 54,5 53,94 53,94 / 30,95 76,95"),
        styles(
                "24,28 32,10 52,4 72,14 72,34 54,58 22,94 22,94 50,93 80,93",
                "26,24 44,6 66,12 70,34 56,64 34,88 22,84 30,74 50,84 66,94 82,86"),
        styles(
                "24,16 46,4 70,14 68,36 44,47 44,47 70,56 76,76 56,95 24,86",
                "24,7 74,7 74,7 46,40 46,40 70,48 76,72 56,95 24,88"),
        styles(
                "32,6 28,30 20,56 20,56 48,56 82,54 / 66,26 63,60 62,96",
                "64,96 66,50 67,4 67,4 18,66 18,66 50,67 86,66",
                "26,8 24,46 40,56 68,50 / 72,5 70,50 66,96"),
        styles(
                "74,7 34,7 34,7 29,44 29,44 54,38 76,54 72,82 46,96 22,86",
                "36,9 32,28 27,46 27,46 52,42 74,56 68,86 44,95 22,88 / 36,9 56,10 80,6"),
        styles(
                "66,6 42,24 25,56 30,84 50,95 70,84 70,62 52,52 34,60 27,72",
                "52,4 38,30 30,62 34,88 50,95 66,84 66,66 50,58 34,72"),
        styles(
                "22,10 50,10 78,8 78,8 56,50 42,96",
                "22,10 50,10 78,8 78,8 58,48 44,96 / 38,52 56,52 74,50",
                "22,24 23,9 23,9 50,10 80,8 80,8 60,38 54,66 52,96"),
        styles(
                "72,16 52,4 32,14 34,34 52,48 72,64 72,86 50,96 28,86 28,66 48,49 68,34 72,16",
                "50,46 31,36 32,14 52,4 70,16 68,36 50,46 / 50,46 26,60 26,86 50,96 74,86 74,60 50,46"),
        styles(
                "70,22 52,5 30,14 28,38 46,50 64,42 70,22 70,22 68,60 62,96",
                "72,26 54,5 32,14 30,38 48,50 66,42 72,24 72,24 73,60 62,86 44,95 28,86",
                "68,12 44,8 28,28 38,48 58,44 68,14 68,14 66,50 66,96"),
    };

    private Digits() {}

    /**
     * The training set.
     *
     * @param n the number of images, at least 0; 60,000 are customary
     */
    public static Dataset train(int n, long seed) {
        return draw(n, Seeds.nth(seed, 0));
    }

    /**
     * The test set: other images of the same kind.
     *
     * @param n the number of images, at least 0; 10,000 are customary
     */
    public static Dataset test(int n, long seed) {
        return draw(n, Seeds.nth(seed, 1));
    }

    private static Dataset draw(int n, long seed) {
        int most = Integer.MAX_VALUE / (SIDE * SIDE);
        if (n < 0 || n > most) throw new IllegalArgumentException("n: expected 0 to " + most + ", got " + n);
        byte[] pixels = new byte[n * SIDE * SIDE], labels = new byte[n];
        IntStream.range(0, n).parallel().forEach(i -> {
            Random random = new Random(Seeds.nth(seed, i));
            labels[i] = (byte) random.nextInt(STYLES.length);
            Style[] styles = STYLES[labels[i]];
            draw(styles[random.nextInt(styles.length)], random, pixels, i * SIDE * SIDE);
        });
        return new Dataset(SIDE, SIDE, STYLES.length, pixels, labels);
    }

    private static void draw(Style style, Random random, byte[] pixels, int from) {
        Pose pose = new Pose(random);
        double width = between(random, 1.2, 3.2), softness = between(random, 0.8, 1.6);
        double ink = between(random, 0.7, 1), noise = between(random, 0, 0.15);
        double edge = (width + softness) / 2;
        Ink drawn = new Ink(SIDE, edge);
        for (double[] stroke : style.strokes) drawn.stroke(pose.place(stroke));
        for (int pixel = 0; pixel < SIDE * SIDE; pixel++) {
            double grey = ink * Math.min((edge - drawn.distance(pixel)) / softness, 1);
            double noisy = grey + noise * between(random, -1, 1);
            pixels[from + pixel] = (byte) Math.round(255 * Math.min(Math.max(noisy, 0), 1));
        }
    }

    private static double between(Random random, double low, double high) {
        return low + (high - low) * random.nextDouble();
    }

    private static Style[] styles(String... texts) {
        return Stream.of(texts).map(Style::parse).toArray(Style[]::new);
    }

    /** One way to write a digit: strokes, each the x and y of its points in turn, from 0 to 1. */
    private record Style(List<double[]> strokes) {

        static Style parse(String text) {
            return new Style(Stream.of(text.split(" / "))
                    .map(stroke -> Stream.of(stroke.split("[ ,]"))
                            .mapToDouble(percent -> Integer.parseInt(percent) / 100.0)
                            .toArray())
                    .toList());
        }
    }

    /** How a style lies in the image. */
    private static final class Pose {

        /** The box is bent like a sheet of rubber, whose corners and inner points (a grid of 4×4) are shifted. */
        private static final int GRID = 4;

        private final double[] shifts = new double[2 * GRID * GRID];
        private final double xx, xy, yx, yy, x0, y0;

        Pose(Random random) {
            for (int i = 0; i < shifts.length; i++) shifts[i] = 0.05 * random.nextGaussian();
            double width = between(random, 13, 23), height = between(random, 17, 22);
            double slant = between(random, -0.15, 0.4), turn = between(random, -0.25, 0.25);
            // StrictMath: the same bits on every machine.
            double cos = StrictMath.cos(turn), sin = StrictMath.sin(turn);
            xx = width * cos;
            xy = -height * (slant * cos + sin);
            yx = width * sin;
            yy = height * (cos - slant * sin);
            x0 = SIDE / 2.0 + between(random, -2.5, 2.5);
            y0 = SIDE / 2.0 + between(random, -2.5, 2.5);
        }

        /** Takes points from the box to the image, in pixels. */
        double[] place(double[] points) {
            double[] placed = new double[points.length];
            for (int i = 0; i < points.length; i += 2) {
                double x = points[i], y = points[i + 1];
                double u = x + shift(0, x, y) - 0.5, v = y + shift(1, x, y) - 0.5;
                placed[i] = x0 + xx * u + xy * v;
                placed[i + 1] = y0 + yx * u + yy * v;
            }
            return placed;
        }

        /** The shift of a point of the box along an axis: bilinear between the four points of the grid around it. */
        private double shift(int axis, double x, double y) {
            double column = x * (GRID - 1), row = y * (GRID - 1);
            int left = (int) column, top = (int) row;
            double s = column - left, t = row - top;
            int at = 2 * (top * GRID + left) + axis, below = at + 2 * GRID;
            return (1 - t) * ((1 - s) * shifts[at] + s * shifts[at + 2])
                    + t * ((1 - s) * shifts[below] + s * shifts[below + 2]);
        }
    }
}
