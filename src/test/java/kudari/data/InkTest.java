package kudari.data;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/** Distances that can be read off squared paper. Pixel (column, row) has its centre at (column + ½, row + ½). */
class InkTest {

    private final Ink ink = new Ink(10, 3);

    @Test
    void aBlankImageIsOutOfReachEverywhere() {
        for (int pixel = 0; pixel < 100; pixel++) assertEquals(3, ink.distance(pixel));
    }

    @Test
    void aStraightStrokeIsAsFarAsItsNearestPoint() {
        ink.stroke(new double[] {2.5, 5.5, 6.5, 5.5});
        assertEquals(0, distance(4, 5), 1e-12);
        assertEquals(2, distance(4, 7), 1e-12);
        assertEquals(2, distance(0, 5), 1e-12);
        assertEquals(Math.sqrt(2), distance(7, 4), 1e-12);
        assertEquals(3, distance(4, 0), 1e-12);
        assertEquals(3, distance(9, 9), 1e-12);
    }

    @Test
    void aPointThatComesTwiceIsACorner() {
        ink.stroke(new double[] {1.5, 1.5, 7.5, 1.5, 7.5, 1.5, 7.5, 7.5});
        for (int n = 1; n <= 7; n++) {
            assertEquals(0, distance(n, 1), 1e-12);
            assertEquals(0, distance(7, n), 1e-12);
        }
        assertEquals(Math.sqrt(2), distance(8, 0), 1e-12);
    }

    @Test
    void aCurveGoesThroughItsPointsAndRoundsThem() {
        ink.stroke(new double[] {1.5, 7.5, 4.5, 1.5, 7.5, 7.5});
        assertEquals(0, distance(1, 7), 1e-12);
        assertEquals(0, distance(4, 1), 1e-12);
        assertEquals(0, distance(7, 7), 1e-12);
        for (int row = 0; row < 10; row++) assertEquals(distance(2, row), distance(6, row), 1e-12);
    }

    @Test
    void aStrokeMayLeaveTheImage() {
        ink.stroke(new double[] {-5, 4.5, 40, 4.5});
        for (int column = 0; column < 10; column++) assertEquals(1, distance(column, 5), 1e-12);
        ink.stroke(new double[] {-50, -50, -40, -60});
        assertEquals(3, distance(0, 0), 1e-12);
    }

    private double distance(int column, int row) {
        return ink.distance(row * 10 + column);
    }
}
