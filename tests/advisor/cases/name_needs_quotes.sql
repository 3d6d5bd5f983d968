-- finds: "Orders"("Total") Orders
-- finds: lines(order)
CREATE TABLE "Orders" (id int, "Total" int);
CREATE TABLE lines ("order" int);

-- finds nothing
CREATE TABLE orders (id int, total int);
