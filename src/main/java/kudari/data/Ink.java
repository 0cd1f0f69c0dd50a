package kudari.data;

import java.util.Arrays;

/** A square grey image being drawn: for every pixel, the square of the distance from its centre to the nearest stroke. */
final class Ink {

    /** How many straight lines stand for the curve between two points. */
    private static final int LINES = 6;

    private final int side;
    private final double reach;
    private final double[] nearest;

    /**
     * A blank image.
     *
     * @param side its height and width in pixels
     * @param reach the distance, in pixels, from which on a stroke no longer matters
     */
    Ink(int side, double reach) {
        this.side = side;
        this.reach = reach;
        this.nearest = new double[side * side];
        Arrays.fill(nearest, reach * reach);
    }

    /** The distance from the centre of a pixel to the nearest stroke, in pixels, or the reach if that is less. */
    double distance(int pixel) {
        return Math.sqrt(nearest[pixel]);
    }

    /**
     * Draws a smooth curve through points: a Catmull-Rom spline. A point that comes twice in a row is a corner.
     *
     * @param points x (to the right) and y (downwards) of one point after another, in pixels; outside the image is legal
     */
    void stroke(double[] points) {
        int last = points.length / 2 - 1;
        double x = points[0], y = points[1];
        for (int n = 0; n < last; n++) {
            // A corner: between its two points the spline would make a loop.
            if (points[2 * n] == points[2 * n + 2] && points[2 * n + 1] == points[2 * n + 3]) continue;
            for (int k = 1; k <= LINES; k++) {
                double t = (double) k / LINES;
                double toX = spline(points, n, last, 0, t), toY = spline(points, n, last, 1, t);
                line(x, y, toX, toY);
                x = toX;
                y = toY;
            }
        }
    }

    /** One coordinate (0 for x, 1 for y) on the curve, the fraction t of the way from point n to the next. */
    private static double spline(double[] points, int n, int last, int axis, double t) {
        double before = points[2 * Math.max(n - 1, 0) + axis], from = points[2 * n + axis];
        double to = points[2 * (n + 1) + axis], after = points[2 * Math.min(n + 2, last) + axis];
        double slopeFrom = (to - before) / 2, slopeTo = (after - from) / 2;
        double u = 1 - t;
        return u * u * ((1 + 2 * t) * from + t * slopeFrom) + t * t * ((1 + 2 * u) * to - u * slopeTo);
    }

    private void line(double x0, double y0, double x1, double y1) {
        double dx = x1 - x0, dy = y1 - y0, length2 = dx * dx + dy * dy;
        if (length2 == 0) return;
        // The pixels that may be in reach; the centre of pixel (column, row) is at (column + ½, row + ½).
        int left = inside(Math.min(x0, x1) - reach), right = inside(Math.max(x0, x1) + reach);
        int top = inside(Math.min(y0, y1) - reach), bottom = inside(Math.max(y0, y1) + reach);
        for (int row = top; row <= bottom; row++) {
            for (int column = left; column <= right; column++) {
                double px = column + 0.5 - x0, py = row + 0.5 - y0;
                double t = Math.min(Math.max((px * dx + py * dy) / length2, 0), 1);
                double ex = px - t * dx, ey = py - t * dy;
                int pixel = row * side + column;
                nearest[pixel] = Math.min(nearest[pixel], ex * ex + ey * ey);
            }
        }
    }

    private int inside(double x) {
        return (int) Math.min(Math.max(x, 0), side - 1);
    }
}
